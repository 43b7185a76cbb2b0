from django.urls import path

from mhealth.people import session_views, views

urlpatterns = [
    path("session/", session_views.SessionView.as_view(), name="session"),
    path("session/password-reset/", session_views.PasswordResetView.as_view(), name="password-reset"),
    path("session/verify-email/", session_views.VerifyEmailView.as_view(), name="verify-email"),
    path("me/", views.MeView.as_view(), name="me"),
    path("me/consents/", views.ConsentsView.as_view(), name="my-consents"),
    path("me/devices/", views.DeviceListView.as_view(), name="my-devices"),
    path("me/devices/<uuid:id>/", views.DeviceView.as_view(), name="my-device"),
    path("me/participation/", views.ParticipationView.as_view(), name="my-participation"),
    path("me/erasure/", views.ErasureView.as_view(), name="my-erasure"),
    path("me/export/", views.ExportView.as_view(), name="my-export"),
]
