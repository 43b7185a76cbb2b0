from django.urls import path

from mhealth.checkins import caseload_views, views

urlpatterns = [
    path("check-ins/", views.CheckInList.as_view(), name="check-ins"),
    path("check-ins/batch/", views.CheckInBatch.as_view(), name="check-in-batch"),
    path("check-ins/<uuid:pk>/", views.CheckInDetail.as_view(), name="check-in"),
    path("check-ins/<uuid:pk>/correction/", views.CheckInCorrection.as_view(), name="check-in-correction"),
    path("caseload/check-ins/<uuid:pk>/disparity/", caseload_views.CaseloadDisparity.as_view(), name="disparity"),
    path("caseload/check-ins/<uuid:pk>/explanation/", caseload_views.CaseloadExplanation.as_view(), name="explanation"),
    path("me/voice-baseline/", views.VoiceBaseline.as_view(), name="voice-baseline"),
]
