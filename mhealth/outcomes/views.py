import hashlib
import json

from django.core.serializers.json import DjangoJSONEncoder
from django.utils import timezone
from django.utils.cache import get_conditional_response
from django.utils.http import quote_etag
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response as Answer
from rest_framework.views import APIView

from mhealth.outcomes import services
from mhealth.outcomes.models import Occasion
from mhealth.outcomes.serializers import AnswersSerializer, QuestionnairesSerializer, ResponseSerializer
from mhealth.platform import languages
from mhealth.platform.access import IsParticipant
from mhealth.platform.problems import MEDIA_TYPE
from mhealth.platform.schema import ProblemSerializer


class Questionnaires(APIView):
    """What I am asked to answer: due, open and coming occasions, with the instruments to show."""

    permission_classes = [IsParticipant]

    @extend_schema(responses={200: QuestionnairesSerializer, 304: OpenApiResponse(description="Not changed.")})
    def get(self, request: Request) -> Answer:
        now = timezone.now()
        occasions = list(services.to_answer(request.user, now))
        wanted = languages.wanted(request, request.user.participant)
        texts = {o.version_id: services.shown(o.version, wanted) for o in occasions}
        occasions = [occasion for occasion in occasions if texts[occasion.version_id]]  # the doctor names the others
        shown = [text for text in texts.values() if text]
        for occasion in occasions:
            occasion.phase = occasion.phase_at(now)
        body = QuestionnairesSerializer({"occasions": occasions, "instruments": shown}).data
        return unless_known(request, body, {text["language"] for text in shown})


def unless_known(request: Request, body: dict, spoken: set[str]) -> Answer:
    """The body with its ETag and language, or 304 where the phone has it already."""
    text = json.dumps(body, cls=DjangoJSONEncoder, sort_keys=True)
    etag = quote_etag(hashlib.sha256(text.encode()).hexdigest()[:32])
    answer = Answer(body, headers={"Cache-Control": "private, no-cache", "Vary": "Accept-Language, Authorization"})
    if spoken:
        answer["Content-Language"] = ", ".join(sorted(spoken))
    answer["ETag"] = etag
    return get_conditional_response(request, etag=etag, response=answer)


class MyResponse(APIView):
    """Send my answers to one occasion. Sending the same again is harmless."""

    permission_classes = [IsParticipant]

    @extend_schema(
        request=AnswersSerializer,
        responses={
            200: OpenApiResponse(ResponseSerializer, description="These answers are here already."),
            201: OpenApiResponse(ResponseSerializer, description="Stored; they count."),
            (403, MEDIA_TYPE): OpenApiResponse(ProblemSerializer, description="`participation-ended`: not stored."),
            (409, MEDIA_TYPE): OpenApiResponse(
                ProblemSerializer,
                description="Stored (`stored`: true), but not counted. `occasion-closed`: the window had closed. "
                "`occasion-not-open`: answer again once it is open. `answers-differ`: the first answers stand.",
            ),
        },
    )
    def put(self, request: Request, occasion: str) -> Answer:
        mine = Occasion.objects.visible_to(request.user).filter(participant__user=request.user)
        planned = get_object_or_404(mine.select_related("version__instrument", "participant__study"), pk=occasion)
        sent = AnswersSerializer(data=request.data, context={"occasion": planned})
        sent.is_valid(raise_exception=True)
        response, created = services.receive(occasion=planned, **sent.validated_data)
        return Answer(
            ResponseSerializer(response).data, status=status.HTTP_201_CREATED if created else status.HTTP_200_OK
        )
