"""The OpenAPI schema of our errors: one problem, whatever the operation, and the key that makes a POST repeatable."""

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers

from mhealth.platform import idempotency
from mhealth.platform.problems import MEDIA_TYPE

KEY = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    description="Repeat a request with the same key within 24 hours: it is done once and answered alike.",
)


class ProblemFieldSerializer(serializers.Serializer):
    pointer = serializers.CharField(allow_blank=True, help_text="JSON pointer into the body; empty: all of it.")
    code = serializers.CharField()
    detail = serializers.CharField()


class ProblemSerializer(serializers.Serializer):
    """RFC 9457. `type` is stable; `title` and `detail` are for people, in the language of Content-Language."""

    type = serializers.CharField(help_text="urn:mhealth:problem:…")
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    errors = ProblemFieldSerializer(many=True, required=False)
    stored = serializers.BooleanField(
        required=False,
        help_text="Of refused answers. True: they are kept all the same, the phone may drop its copy.",
    )
    request_id = serializers.CharField()


class ProblemSchema(AutoSchema):
    """Our schema of every operation: the answers it names, and problems for the rest."""

    def get_summary(self) -> str | None:
        """The first sentence of what the view says of itself: what a list of operations shows."""
        first = super().get_description().strip().split("\n\n")[0].replace("\n", " ")
        return super().get_summary() or first.split(". ")[0].rstrip(".") or None

    def get_override_parameters(self) -> list:
        repeatable = self.method == "POST" and not idempotency.WITHOUT.match(self.path)
        return [*super().get_override_parameters(), KEY] if repeatable else super().get_override_parameters()

    def _get_response_bodies(self, direction: str = "response") -> dict:
        named = super()._get_response_bodies(direction=direction)
        if direction != "response":
            return named
        codes = [code for code in self._problem_codes() if code not in named]
        return named | {code: self._get_response_for_code(ProblemSerializer, code, [MEDIA_TYPE]) for code in codes}

    def _problem_codes(self) -> list[str]:
        codes = ["default"]
        if any(self.get_auth()):
            codes += ["401", "403"]
        if "{" in self.path:
            codes.append("404")
        if self.method in ("POST", "PUT", "PATCH") and self.get_request_serializer():
            codes.append("422")
        return sorted(codes)
