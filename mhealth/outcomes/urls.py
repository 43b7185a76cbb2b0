from django.urls import path

from mhealth.outcomes import views

urlpatterns = [
    path("questionnaires/", views.Questionnaires.as_view(), name="questionnaires"),
    path("questionnaires/<uuid:occasion>/response/", views.MyResponse.as_view(), name="questionnaire-response"),
]
