"""The site's addresses: one line per room; the rooms name their own resources."""

from django.contrib import admin
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from mhealth.platform import views
from mhealth.portal.overview import urls as overview

handler400 = "mhealth.platform.problems.bad_request"
handler403 = "mhealth.platform.problems.permission_denied"
handler404 = "mhealth.platform.problems.not_found"
handler500 = "mhealth.platform.problems.server_error"

api = [
    path("", include("mhealth.platform.urls")),
    path("", include("mhealth.people.urls")),
    path("", include("mhealth.safety.urls")),
    path("", include("mhealth.outcomes.urls")),
    path("", include("mhealth.trials.urls")),
    path("", include("mhealth.checkins.urls")),
    path("", include("interventions.urls")),
    path("", include("mhealth.research.urls")),
    path("", include(overview.for_programs)),
]

urlpatterns = [
    path("api/v1/", include(api)),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs/", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
    path("accounts/", include("allauth.urls")),
    path("admin/", include("mhealth.portal.overview.urls")),
    path("admin/", admin.site.urls),
    path("metrics", views.metrics, name="metrics"),
]
