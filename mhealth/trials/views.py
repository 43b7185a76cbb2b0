"""The trial manager's doors. No answer here depends on an arm, but for an approved unblinding."""

from django.http import Http404
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import generics, status
from rest_framework.response import Response
from rest_framework.views import APIView

from mhealth.platform import audit
from mhealth.platform.access import IsClinician, IsParticipant, IsTrialManager
from mhealth.trials import serializers, services
from mhealth.trials.models import AdverseEvent, Deviation, Enrolment, Screening, Trial, UnblindingRequest


class OfTrial:
    """Views below `trials/{slug}/`; a trial that is not the caller's does not exist."""

    permission_classes = [IsTrialManager]

    def get_trial(self) -> Trial:
        return get_object_or_404(Trial.objects.managed_by(self.request.user), slug=self.kwargs["slug"])

    def get_enrolments(self):
        return self.get_trial().enrolments.select_related("trial", "participant")

    def sent(self, serializer_class, **context) -> dict:
        serializer = serializer_class(data=self.request.data, context={"request": self.request} | context)
        serializer.is_valid(raise_exception=True)
        return serializer.validated_data

    def record_reading(self, model, count: int) -> None:
        audit.record(
            actor=self.request.user,
            action="trial.list",
            subject=model._meta.label,
            trial=self.kwargs["slug"],
            count=count,
        )


class TrialDetail(OfTrial, generics.RetrieveAPIView):
    """A trial: its state, its arms by name, how many people are where, and what the set-up lacks."""

    serializer_class = serializers.TrialSerializer

    def get_object(self) -> Trial:
        return self.get_trial()


class EnrolmentList(OfTrial, generics.ListAPIView):
    """People of the trial, newest first; or make somebody a candidate."""

    serializer_class = serializers.EnrolmentSerializer
    filterset_fields = ["status"]
    queryset = Enrolment.objects.none()

    def get_queryset(self):
        return self.get_enrolments().order_by("-enrolled_at", "id")

    @extend_schema(request=serializers.CandidateSerializer, responses={201: serializers.EnrolmentSerializer})
    def post(self, request, *args, **kwargs):
        trial = self.get_trial()
        sent = self.sent(serializers.CandidateSerializer)
        enrolment = services.enrol(participant=sent["participant"], trial=trial, by=request.user)
        return Response(self.get_serializer(enrolment).data, status=status.HTTP_201_CREATED)


class ScreeningList(OfTrial, generics.ListAPIView):
    """Who was assessed and turned away, newest first; or count somebody who declined, or could not take part.

    Whom an enrolment or an allocation refuses is counted by itself.
    """

    serializer_class = serializers.ScreeningSerializer
    filterset_fields = ["reason"]
    queryset = Screening.objects.none()

    def get_queryset(self):
        return self.get_trial().screenings.select_related("participant").order_by("-assessed_at", "id")

    @extend_schema(request=serializers.ScreeningSerializer, responses={201: serializers.ScreeningSerializer})
    def post(self, request, *args, **kwargs):
        trial = self.get_trial()
        sent = self.sent(serializers.ScreeningSerializer)
        screening = services.record_screening(trial=trial, by=request.user, **sent)
        return Response(self.get_serializer(screening).data, status=status.HTTP_201_CREATED)


class EnrolmentStep(OfTrial, APIView):
    def get_enrolment(self) -> Enrolment:
        return get_object_or_404(self.get_enrolments(), pk=self.kwargs["pk"])


class Allocation(EnrolmentStep):
    @extend_schema(request=None, responses=serializers.EnrolmentSerializer)
    def post(self, request, slug, pk):
        """Give the candidate their slot, for good. Repeating it changes nothing. The arm is told to nobody."""
        enrolment = services.allocate(enrolment=self.get_enrolment(), by=request.user)
        return Response(serializers.EnrolmentSerializer(enrolment).data)


class Baseline(EnrolmentStep):
    @extend_schema(request=None, responses={201: serializers.EnrolmentSerializer})
    def post(self, request, slug, pk):
        """Plan the baseline questionnaire again, when it could not be scored."""
        enrolment = self.get_enrolment()
        services.repeat_baseline(enrolment=enrolment, by=request.user)
        return Response(serializers.EnrolmentSerializer(enrolment).data, status=status.HTTP_201_CREATED)


class WithdrawalOf(EnrolmentStep):
    @extend_schema(request=serializers.WithdrawalSerializer, responses={201: serializers.WithdrawalSerializer})
    def post(self, request, slug, pk):
        """The person leaves the trial; their answers up to now stay in it. Media or everything goes if they ask so."""
        sent = self.sent(serializers.WithdrawalSerializer)
        withdrawal = services.withdraw_at_request(
            enrolment=self.get_enrolment(), kind=sent["kind"], words=sent.get("words", ""), by=request.user
        )
        return Response(serializers.WithdrawalSerializer(withdrawal).data, status=status.HTTP_201_CREATED)


class AdverseEventList(OfTrial, generics.ListAPIView):
    """Adverse events: of oneself, of one's people, or of a manager's trial; or report one."""

    permission_classes = [IsParticipant | IsClinician | IsTrialManager]
    serializer_class = serializers.AdverseEventSerializer
    queryset = AdverseEvent.objects.none()

    def get_enrolments(self):
        mine = Enrolment.objects.visible_to(self.request.user).filter(trial__slug=self.kwargs["slug"])
        if not mine.exists() and not Trial.objects.managed_by(self.request.user).filter(slug=self.kwargs["slug"]):
            raise Http404
        return mine

    def get_queryset(self):
        events = AdverseEvent.objects.filter(enrolment__in=self.get_enrolments())
        return events.select_related("enrolment__participant__data_key").order_by("-recorded_at", "id")

    def list(self, request, *args, **kwargs):
        response = super().list(request, *args, **kwargs)
        self.record_reading(AdverseEvent, len(response.data["results"]))
        return response

    @extend_schema(request=serializers.AdverseEventSerializer, responses={201: serializers.AdverseEventSerializer})
    def post(self, request, *args, **kwargs):
        sent = self.sent(serializers.AdverseEventSerializer, enrolments=self.get_enrolments())
        event = services.record_adverse_event(by=request.user, **sent)
        return Response(self.get_serializer(event).data, status=status.HTTP_201_CREATED)


class DeviationList(OfTrial, generics.ListAPIView):
    """Deviations from the protocol; or record one."""

    serializer_class = serializers.DeviationSerializer
    queryset = Deviation.objects.none()

    def get_queryset(self):
        deviations = Deviation.objects.filter(enrolment__in=self.get_enrolments())
        return deviations.select_related("enrolment__participant__data_key").order_by("-recorded_at", "id")

    def list(self, request, *args, **kwargs):
        response = super().list(request, *args, **kwargs)
        self.record_reading(Deviation, len(response.data["results"]))
        return response

    @extend_schema(request=serializers.DeviationSerializer, responses={201: serializers.DeviationSerializer})
    def post(self, request, *args, **kwargs):
        sent = self.sent(serializers.DeviationSerializer, enrolments=self.get_enrolments())
        deviation = services.record_deviation(by=request.user, **sent)
        return Response(self.get_serializer(deviation).data, status=status.HTTP_201_CREATED)


class UnblindingRequestList(OfTrial, generics.ListAPIView):
    """Requests to unblind; or ask, with a reason."""

    serializer_class = serializers.UnblindingRequestSerializer
    queryset = UnblindingRequest.objects.none()

    def get_queryset(self):
        requests = self.get_trial().unblinding_requests.select_related("trial__key", "enrolment__participant__data_key")
        return requests.order_by("-asked_at", "id")

    @extend_schema(
        request=serializers.UnblindingRequestSerializer, responses={201: serializers.UnblindingRequestSerializer}
    )
    def post(self, request, *args, **kwargs):
        sent = self.sent(serializers.UnblindingRequestSerializer, enrolments=self.get_enrolments())
        asked = services.ask_to_unblind(trial=self.get_trial(), by=request.user, **sent)
        return Response(self.get_serializer(asked).data, status=status.HTTP_201_CREATED)


class UnblindingRequestDetail(OfTrial, APIView):
    def get_request(self) -> UnblindingRequest:
        return get_object_or_404(self.get_trial().unblinding_requests, pk=self.kwargs["pk"])

    @extend_schema(responses=serializers.UnblindedSerializer)
    def get(self, request, slug, pk):
        """The request; with the arm for the one who asked, once a second person approved."""
        asked = self.get_request()
        asked.arm = services.unblinded_arm(request=asked, user=request.user)
        return Response(serializers.UnblindedSerializer(asked).data)


class UnblindingDecision(UnblindingRequestDetail):
    http_method_names = ["post", "options"]

    @extend_schema(
        request=serializers.DecisionOnUnblindingSerializer, responses=serializers.UnblindingRequestSerializer
    )
    def post(self, request, slug, pk):
        """The second person's word."""
        sent = self.sent(serializers.DecisionOnUnblindingSerializer)
        decided = services.decide_unblinding(request=self.get_request(), by=request.user, approve=sent["approve"])
        return Response(serializers.UnblindingRequestSerializer(decided).data)


class MyTrial(generics.RetrieveAPIView):
    """The trial I am in, and since when."""

    permission_classes = [IsParticipant]
    serializer_class = serializers.MyTrialSerializer

    def get_object(self) -> Enrolment:
        mine = Enrolment.objects.filter(participant__user=self.request.user).select_related("trial", "participant")
        newest = mine.order_by("-enrolled_at").first()
        if newest is None:
            raise Http404
        return newest
