"""The questionnaires of a person in FHIR R4. What comes in goes the way of the phone's answers."""

from django.http import Http404
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.parsers import JSONParser
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response as Answer
from rest_framework.views import APIView

from mhealth.outcomes import fhir, services
from mhealth.outcomes.models import InstrumentVersion, Occasion, Response
from mhealth.platform import languages
from mhealth.platform.access import IsParticipant
from mhealth.platform.problems import MEDIA_TYPE, Problem
from mhealth.platform.schema import ProblemSerializer


def in_both(code: int, description: str = "") -> dict:
    """A FHIR resource, under the media type of FHIR or, for whoever asks for that, plain JSON."""
    resource = OpenApiResponse(OpenApiTypes.OBJECT, description=description)
    return {(code, media_type): resource for media_type in (fhir.MEDIA_TYPE, JSONRenderer.media_type)}


class FhirParser(JSONParser):
    media_type = fhir.MEDIA_TYPE


class FhirRenderer(JSONRenderer):
    media_type = fhir.MEDIA_TYPE
    format = "fhir"

    def get_indent(self, accepted_media_type, renderer_context) -> None:
        return None


class ScoresNotShown(Problem):
    status_code = status.HTTP_403_FORBIDDEN
    default_code = "scores-not-shown"
    title = "Scores are not shown"
    default_detail = "Your study does not show scores to the people who take part."


class FhirView(APIView):
    permission_classes = [IsParticipant]
    parser_classes = [FhirParser, JSONParser]
    renderer_classes = [FhirRenderer, JSONRenderer]


class FhirQuestionnaire(FhirView):
    """An instrument that I am asked to answer, as a FHIR R4 Questionnaire in my language."""

    @extend_schema(responses=in_both(200))
    def get(self, request: Request, slug: str, version: str) -> Answer:
        mine = Occasion.objects.visible_to(request.user).filter(participant__user=request.user)
        asked = InstrumentVersion.objects.filter(pk__in=mine.values("version")).select_related("instrument")
        found = get_object_or_404(asked, instrument__slug=slug, version=version)
        language = languages.choose(languages.wanted(request, request.user.participant), found.texts)
        if not language:  # scored, but worded in no language here
            raise Http404
        return Answer(fhir.questionnaire(found, language), headers={"Content-Language": language})


class FhirQuestionnaireResponse(FhirView):
    """My answers to one occasion, as a FHIR R4 QuestionnaireResponse; read them, or send them."""

    @extend_schema(responses=in_both(200))
    def get(self, request: Request, occasion: str) -> Answer:
        standing = _mine(request).filter(occasion=occasion, conflicting=False)
        found = standing.order_by("-in_window").first()
        return Answer(fhir.of_person(get_object_or_404(standing, pk=found and found.pk)))

    @extend_schema(
        request={fhir.MEDIA_TYPE: OpenApiTypes.OBJECT},
        responses={
            **in_both(200, "These answers are here already."),
            **in_both(201, "Stored."),
            (403, MEDIA_TYPE): OpenApiResponse(ProblemSerializer, description="`participation-ended`: not stored."),
            (409, MEDIA_TYPE): OpenApiResponse(
                ProblemSerializer,
                description="Stored, but not counted: `occasion-closed`, `occasion-not-open` or `answers-differ`.",
            ),
        },
    )
    def put(self, request: Request, occasion: str) -> Answer:
        mine = Occasion.objects.visible_to(request.user).filter(participant__user=request.user)
        planned = get_object_or_404(mine.select_related("version__instrument", "participant__study"), pk=occasion)
        try:
            given = fhir.read(request.data, planned.version)
        except fhir.NotTheseAnswers as fault:
            raise serializers.ValidationError(_nested(str(fault), fault.path)) from fault
        response, created = services.receive(
            occasion=planned, answers=given.answers, answered_at=given.answered_at, language=given.language
        )
        code = status.HTTP_201_CREATED if created else status.HTTP_200_OK
        return Answer(fhir.of_person(response), status=code)


class FhirObservations(FhirView):
    """My scores, as a FHIR R4 Bundle of Observations; where the study shows scores."""

    @extend_schema(
        parameters=[OpenApiParameter("code", str, description="A scale, for example `depression`.")],
        responses=in_both(200),
    )
    def get(self, request: Request) -> Answer:
        if not request.user.participant.study.settings.get("show_scores", False):
            raise ScoresNotShown()
        rows = _mine(request).for_analysis().prefetch_related("scores").order_by("answered_at", "id")
        found = [each for response in rows for each in fhir.scores_of_person(response)]
        wanted = request.query_params.get("code")
        return Answer(fhir.searchset([o for o in found if wanted in (None, o["code"]["coding"][0]["code"])]))


def _mine(request: Request):
    rows = Response.objects.visible_to(request.user).filter(occasion__participant__user=request.user)
    return rows.select_related("occasion__version__instrument", "occasion__participant__data_key")


def _nested(says: str, path: tuple) -> dict:
    """As a serializer says it: a dictionary for each step on the way to the fault."""
    fault: object = [says]
    for step in reversed(path):
        fault = {step: fault}
    return fault
