from django.urls import path

from mhealth.safety import views
from mhealth.safety.models import State

urlpatterns = [
    path("support/", views.Support.as_view(), name="support"),
    path("risk-events/", views.RiskEventList.as_view(), name="risk-events"),
    path("risk-events/<uuid:pk>/", views.RiskEventDetail.as_view(), name="risk-event"),
    *(
        path(f"risk-events/<uuid:pk>/{step}/", views.Step.as_view(to_state=state), name=f"risk-event-{step}")
        for step, state in [
            ("acknowledge", State.ACKNOWLEDGED),
            ("act", State.ACTION),
            ("confirm-contact", State.CONTACTED),
            ("close", State.CLOSED),
        ]
    ),
]
