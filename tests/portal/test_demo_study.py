"""The demo study is whole: somebody is on call, and loading it again changes nothing."""

from datetime import timedelta

import pytest
from django.apps import apps
from django.utils import timezone

from mhealth.portal.demo import study
from mhealth.safety.models import Duty

pytestmark = pytest.mark.django_db


def rows() -> dict[str, int]:
    return {model._meta.label: model.objects.count() for model in apps.get_models()}


def test_somebody_is_on_call_and_loading_twice_changes_nothing():
    demo, now = study.load(), timezone.now()
    assert Duty.objects.uncovered(demo, now, now + timedelta(days=7)) == []
    before = rows()
    study.load()
    assert rows() == before
