from rest_framework.throttling import AnonRateThrottle, UserRateThrottle


class PerPerson(UserRateThrottle):
    """Signed-in people, by account."""

    scope = "person"

    def get_cache_key(self, request, view):
        return super().get_cache_key(request, view) if request.user.is_authenticated else None


class PerAddress(AnonRateThrottle):
    scope = "address"


class SignIn(AnonRateThrottle):
    """Attempts to sign in from one address, whatever the account."""

    scope = "sign_in"

    def get_cache_key(self, request, view):
        return self.cache_format % {"scope": self.scope, "ident": self.get_ident(request)}
