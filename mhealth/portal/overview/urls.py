"""Addresses below /admin/: behind its log-in and second factor."""

from django.contrib import admin
from django.urls import path

from mhealth.portal.overview import views

urlpatterns = [
    path("trial-overviews/", admin.site.admin_view(views.overviews), name="trial-overviews"),
    path("trial-overviews/<slug:slug>/", admin.site.admin_view(views.overview), name="trial-overview"),
    path("trial-overviews/<slug:slug>/<slug:key>/", admin.site.admin_view(views.flagged), name="trial-flag"),
]
