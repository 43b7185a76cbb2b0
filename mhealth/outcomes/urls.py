from django.urls import path

from mhealth.outcomes import fhir_views, views

urlpatterns = [
    path("questionnaires/", views.Questionnaires.as_view(), name="questionnaires"),
    path("questionnaires/<uuid:occasion>/response/", views.MyResponse.as_view(), name="questionnaire-response"),
    path(
        "fhir/Questionnaire/<slug:slug>/<str:version>/",
        fhir_views.FhirQuestionnaire.as_view(),
        name="fhir-questionnaire",
    ),
    path(
        "fhir/QuestionnaireResponse/<uuid:occasion>/",
        fhir_views.FhirQuestionnaireResponse.as_view(),
        name="fhir-questionnaire-response",
    ),
    path("fhir/Observation/", fhir_views.FhirObservations.as_view(), name="fhir-observations"),
]
