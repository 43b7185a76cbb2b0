from django.http import HttpRequest


class MineOnly:
    """Rows of the trials this manager works on."""

    def get_queryset(self, request: HttpRequest):
        return super().get_queryset(request).filter(pk__in=self.model.objects.managed_by(request.user).values("pk"))

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


class ReadOnly(MineOnly):
    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False
