"""Pages below /admin/, behind its log-in and second factor, and the same counts below /api/v1/."""

from django.contrib import admin
from django.urls import path

from mhealth.portal.overview import api, views

for_programs = [path("research/trials/<slug:slug>/", api.TrialProgress.as_view(), name="trial-progress")]

urlpatterns = [
    path("trial-overviews/", admin.site.admin_view(views.overviews), name="trial-overviews"),
    path("trial-overviews/<slug:slug>/", admin.site.admin_view(views.overview), name="trial-overview"),
    path("trial-overviews/<slug:slug>/<slug:key>/", admin.site.admin_view(views.flagged), name="trial-flag"),
]
