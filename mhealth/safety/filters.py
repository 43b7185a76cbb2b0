import django_filters

from mhealth.platform.moments import Since
from mhealth.safety.models import RiskEvent


class RiskEventFilter(django_filters.FilterSet):
    unclosed = django_filters.BooleanFilter(method="by_unclosed", help_text="Only those a human has not closed.")
    since = Since(field_name="last_at", lookup_expr="gte")

    class Meta:
        model = RiskEvent
        fields = ["severity", "state", "participant", "since", "unclosed"]

    def by_unclosed(self, queryset, name: str, value: bool):
        return queryset.unclosed() if value else queryset
