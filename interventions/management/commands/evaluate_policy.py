"""Estimate from the decision log what another policy would have earned. 1: the log says too little about it."""

import sys

from django.core.management.base import BaseCommand, CommandError

from interventions import evaluation
from mhealth.people.models import Study, User
from recommender.ope import TooLittleOverlap


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser) -> None:
        parser.add_argument("slug", metavar="STUDY", help="the study")
        parser.add_argument("policy", metavar="POLICY", help="uniform, logged, or the name of a registered model")
        parser.add_argument("--by", metavar="USER", required=True, help="mail address of a researcher of the study")
        parser.add_argument(
            "--reason", metavar="TEXT", required=True, help="why; goes into the audit, so no names in it"
        )
        parser.add_argument("--seed", type=int, default=0, help="of the bootstrap over people")

    def handle(self, *, slug: str, policy: str, by: str, reason: str, seed: int, **_options: object) -> None:
        study = Study.objects.filter(slug=slug).first()
        user = User.objects.filter(email__iexact=by, is_active=True).first()
        if study is None or user is None or not reason.strip():
            problem = "no reason was given" if study and user else f"no study {slug}" if user else f"no user {by}"
            raise CommandError(problem, returncode=2)
        try:
            found = evaluation.evaluate(study=study, policy=policy, user=user, reason=reason.strip(), seed=seed)
        except evaluation.NotAResearcherHere as refused:
            raise CommandError(f"{by} is no researcher of {slug}", returncode=2) from refused
        except evaluation.UnknownPolicy as unknown:
            raise CommandError(str(unknown), returncode=2) from unknown
        except evaluation.policies.ModelUnavailable as gone:
            raise CommandError(f"the files of {policy} are gone or have changed", returncode=2) from gone
        except TooLittleOverlap as too_little:
            raise CommandError(f"{policy}: {too_little}", returncode=1) from too_little
        self._tell(policy, found)

    def _tell(self, policy: str, found: evaluation.Evaluation) -> None:
        self.stdout.write(f"{policy}: mean reward of one offer; {found.offers} offers earned {found.earned:.4f}")
        for method, value in found.estimates.items():
            if isinstance(value, str):
                self.stdout.write(f"{method:6s} refused: {value}")
            else:
                ends = f"95 % {value.low:.4f} to {value.high:.4f}"
                size = f"effective sample size {value.effective_sample:.0f}, {value.people} people"
                self.stdout.write(f"{method:6s} {value.value:.4f}  {ends}  {size}")
        for number, why in ((found.masked, "their trial is masked"), (found.one_sided, "drawn without a choice")):
            if number:
                self.stdout.write(f"{number} offers left out: {why}")
        self.stdout.write("Estimand: the immediate effect of one decision, not of following the policy for weeks.")
        if all(isinstance(value, str) for value in found.estimates.values()):
            sys.exit(1)
