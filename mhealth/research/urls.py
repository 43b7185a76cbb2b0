from django.urls import path

from mhealth.research import views

urlpatterns = [
    path("research/exports/", views.ExportList.as_view(), name="exports"),
    path("research/exports/<uuid:pk>/", views.ExportDetail.as_view(), name="export"),
    path("research/exports/<uuid:pk>/approval/", views.ExportApproval.as_view(), name="export-approval"),
    path("research/exports/<uuid:pk>/file/", views.ExportFile.as_view(), name="export-file"),
]
