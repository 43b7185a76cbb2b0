import django_filters

from mhealth.checkins.models import CheckIn
from mhealth.platform.moments import Since


class CheckInFilter(django_filters.FilterSet):
    """since: recorded at or after; status: where the analysis stands."""

    since = Since(field_name="recorded_at", lookup_expr="gte")

    class Meta:
        model = CheckIn
        fields = ["since", "status"]
