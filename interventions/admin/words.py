"""What speaks against activities, and the sentences that people read: both belong to clinicians."""

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html_join
from unfold.admin import ModelAdmin
from unfold.decorators import display

from interventions.models import ContraIndication, ReasonTexts


@admin.register(ContraIndication)
class ContraIndicationAdmin(ModelAdmin):
    list_display = ["name", "tag", "rule", "n_activities"]
    actions = None

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: object = None) -> list[str]:
        return ["tag"] if obj else []

    @display(description="activities")
    def n_activities(self, tag: ContraIndication) -> int:
        return tag.activities.count()


@admin.register(ReasonTexts)
class ReasonTextsAdmin(ModelAdmin):
    """The approved sentences of reasons, to read."""

    list_display = ["language", "version", "approved_by"]
    fields = ["language", "version", "approved_by", "shared", "open"]
    readonly_fields = fields

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    has_change_permission = has_delete_permission = lambda self, request, obj=None: False

    @display(description="approved")
    def approved_by(self, texts: ReasonTexts) -> str:
        return texts.approved.get("note", "")

    @display(description="in every trial")
    def shared(self, texts: ReasonTexts) -> str:
        return _sentences(texts, "shared")

    @display(description="outside of masked trials")
    def open(self, texts: ReasonTexts) -> str:
        return _sentences(texts, "open")


def _sentences(texts: ReasonTexts, kind: str) -> str:
    return format_html_join("", "<p>{}</p>", ((line,) for line in texts.sentences[kind].values()))
