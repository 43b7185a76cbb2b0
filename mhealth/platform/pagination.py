from rest_framework.pagination import CursorPagination


class NewestFirst(CursorPagination):
    """Cursor pages: rows that arrive while a phone reads are neither skipped nor repeated."""

    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 200
    ordering = ("-created_at", "id")

    def get_ordering(self, request, queryset, view):
        return queryset.query.order_by or super().get_ordering(request, queryset, view)
