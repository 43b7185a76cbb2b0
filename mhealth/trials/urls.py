from django.urls import path

from mhealth.trials import views

urlpatterns = [
    path("me/trial/", views.MyTrial.as_view(), name="my-trial"),
    path("trials/<slug:slug>/", views.TrialDetail.as_view(), name="trial"),
    path("trials/<slug:slug>/enrolments/", views.EnrolmentList.as_view(), name="enrolments"),
    path("trials/<slug:slug>/enrolments/<uuid:pk>/allocation/", views.Allocation.as_view(), name="allocation"),
    path("trials/<slug:slug>/enrolments/<uuid:pk>/baseline/", views.Baseline.as_view(), name="baseline"),
    path("trials/<slug:slug>/enrolments/<uuid:pk>/withdrawal/", views.WithdrawalOf.as_view(), name="withdrawal"),
    path("trials/<slug:slug>/screenings/", views.ScreeningList.as_view(), name="screenings"),
    path("trials/<slug:slug>/adverse-events/", views.AdverseEventList.as_view(), name="adverse-events"),
    path("trials/<slug:slug>/deviations/", views.DeviationList.as_view(), name="deviations"),
    path("trials/<slug:slug>/unblinding-requests/", views.UnblindingRequestList.as_view(), name="unblinding-requests"),
    path(
        "trials/<slug:slug>/unblinding-requests/<uuid:pk>/",
        views.UnblindingRequestDetail.as_view(),
        name="unblinding-request",
    ),
    path(
        "trials/<slug:slug>/unblinding-requests/<uuid:pk>/decision/",
        views.UnblindingDecision.as_view(),
        name="unblinding-decision",
    ),
]
