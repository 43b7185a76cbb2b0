"""The six roles, as groups with the permissions that the admin asks for."""

from django.apps import apps as all_apps

from mhealth.platform.access import ROLES

# role -> "app.model" -> verbs. What is not named is denied.
PERMISSIONS: dict[str, dict[str, tuple[str, ...]]] = {
    "participant": {},
    "clinician": {
        "people.participant": ("view",),
        "people.consent": ("view",),
        "interventions.activity": ("add", "change", "view"),
        "interventions.version": ("add", "change", "view"),
        "interventions.review": ("view",),
        "interventions.contraindication": ("add", "change", "view"),
        "interventions.reasontexts": ("view",),
        "interventions.carechoice": ("add", "view"),
        "interventions.decision": ("view",),
        "safety.riskevent": ("view", "change"),
        "checkins.checkin": ("view",),
        "trials.adverseevent": ("add", "view"),
        "trials.deviation": ("add", "view"),
    },
    "reviewer": {
        "interventions.activity": ("view",),
        "interventions.version": ("view",),
        "interventions.review": ("add", "view"),
        "interventions.contraindication": ("view",),
        "interventions.reasontexts": ("view",),
    },
    "researcher": {"research.export": ("add", "view")},
    "trial_manager": {
        "people.study": ("view",),
        "people.enrolmentcode": ("add", "view"),
        "trials.trial": ("add", "change", "view"),
        "trials.arm": ("add", "change", "view"),
        "trials.screening": ("add", "view"),
        "trials.enrolment": ("add", "view"),
        "trials.adverseevent": ("add", "view"),
        "trials.deviation": ("add", "view"),
        "trials.unblindingrequest": ("view",),
        "research.export": ("view",),  # of others, with identities: to approve
        "outcomes.occasion": ("view",),
        "interventions.decision": ("view",),
        "interventions.contentfreeze": ("add", "view"),
    },
    "operator": {
        "interventions.modelversion": ("change", "view"),  # change: promote and roll back
        "people.study": ("add", "change", "view"),
        "people.user": ("add", "change", "view"),
        "people.careteam": ("add", "change", "view"),
        "people.studymember": ("add", "change", "delete", "view"),
        "people.enrolmentcode": ("add", "view"),
        "people.consentdocument": ("add", "view"),
        "platform.auditevent": ("view",),
        "outcomes.instrumentversion": ("change", "view"),
        "safety.crisisresource": ("add", "change", "view"),
        "safety.duty": ("add", "change", "delete", "view"),
    },
}


def make_groups(sender, using: str, **_kwargs: object) -> None:
    """After every migrate: create the groups and set their permissions to the table above."""
    from django.contrib.auth.models import Group, Permission

    for role in ROLES:
        group, _ = Group.objects.using(using).get_or_create(name=role)
        group.permissions.set(
            Permission.objects.using(using).filter(
                pk__in=[p.pk for p in Permission.objects.using(using).all() if _granted(role, p)]
            )
        )


def _granted(role: str, permission) -> bool:
    content = permission.content_type
    if not all_apps.is_installed("mhealth.people"):
        return False
    verbs = PERMISSIONS[role].get(f"{content.app_label}.{content.model}", ())
    return permission.codename in {f"{verb}_{content.model}" for verb in verbs}
