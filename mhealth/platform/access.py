"""Who may call what. A view names its roles; rows are then narrowed by `visible_to(user)`."""

from rest_framework.permissions import BasePermission

ROLES = ("participant", "clinician", "reviewer", "researcher", "trial_manager", "operator")


class DenyByDefault(BasePermission):
    """A view that names no permission answers nobody."""

    def has_permission(self, request, view) -> bool:
        return False


def roles_of(user) -> set[str]:
    """The user's roles, read once per request object."""
    if not user.is_authenticated:
        return set()
    if not hasattr(user, "_roles"):
        user._roles = set(user.groups.values_list("name", flat=True)) & set(ROLES)
    return user._roles


class HasRole(BasePermission):
    role: str

    def has_permission(self, request, view) -> bool:
        return self.role in roles_of(request.user)


class IsParticipant(HasRole):
    role = "participant"


class IsClinician(HasRole):
    role = "clinician"


class IsResearcher(HasRole):
    role = "researcher"


class IsTrialManager(HasRole):
    role = "trial_manager"
