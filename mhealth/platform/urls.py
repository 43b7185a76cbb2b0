from django.urls import path

from mhealth.platform import views

urlpatterns = [
    path("health/live", views.LiveView.as_view(), name="live"),
    path("health/ready", views.ReadyView.as_view(), name="ready"),
]
