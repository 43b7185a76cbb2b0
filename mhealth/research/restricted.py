"""Tables that leave after unblinding only, or only with the agreement of a second person."""

from mhealth.research.columns import ARM, CONSENT_DAY, DAY, PERSON, Column, Table, share

DECISIONS = Table(
    "decisions",
    "One row per decision: what was offered, with the probability of what happened (after unblinding only)",
    ("person", "decision"),
    (
        PERSON,
        ARM,
        Column("decision", "integer", "Number of the decision of this person, by time"),
        DAY,
        CONSENT_DAY,
        Column("moment", "string", "What led to it", ("check_in", "asked", "scheduled")),
        Column("outcome", "string", "Whether an activity was offered", ("offered", "nothing_now")),
        Column("reason", "string", "Why this outcome", ("sent", "held_back", "no_eligible_activity")),
        Column("activity", "string", "Activity that was offered"),
        Column("text_version", "string", "Language and number of its text"),
        Column("policy", "string", "Policy of the arm on that day"),
        Column("decided_by", "string", "What chose: the policy, or what stands in where it has no model"),
        Column("model", "string", "Model that scored the candidates; empty where clinicians' order decided"),
        Column("eligible", "integer", "Activities that no gate closed", minimum=0),
        share("send_probability", "Probability that anything was offered"),
        share("propensity", "Probability of what happened"),
        Column("completed", "boolean", "Whether the offered activity was completed in its window; empty if unknown"),
        Column("rating", "integer", "Helpfulness as rated, 1 to 5", minimum=1, maximum=5),
        Column("mood_change", "number", "Mood after minus before, as a share of its scale", minimum=-1, maximum=1),
    ),
)

CANDIDATES = Table(
    "candidates",
    "One row per decision and activity that could have been offered (after unblinding only)",
    ("person", "decision", "position"),
    (
        PERSON,
        Column("decision", "integer", "Number of the decision, as in decisions"),
        Column("position", "integer", "Place among the candidates", minimum=1),
        Column("activity", "string", "Activity"),
        Column("eligible", "boolean", "Whether no gate closed it"),
        Column("closed_by", "string", "Gates that closed it, joined by +"),
        Column("score", "number", "Expected benefit by the model; empty without a score"),
        Column("score_sd", "number", "Its standard deviation", minimum=0),
        share("probability", "Probability given that anything was offered"),
    ),
)

WEIGHTS = Table(
    "weights",
    "One row per check-in and modality that was read: its weight in the fused estimate (after unblinding only)",
    ("person", "number", "modality"),
    (
        PERSON,
        Column("number", "integer", "Number of the check-in, as in check_ins"),
        Column("modality", "string", "Face, voice or text", ("face", "voice", "text")),
        share("weight", "Weight of the modality in the fused estimate"),
    ),
)

RELIABILITY = Table(
    "reliability",
    "One row per person and modality: how often it was right with them, as learnt by now (after unblinding only)",
    ("person", "modality"),
    (
        PERSON,
        Column("modality", "string", "Face or voice", ("face", "voice", "text")),
        share("accuracy", "Posterior mean of the probability that the modality is right"),
        Column("alpha", "number", "First parameter of the Beta posterior", minimum=0),
        Column("beta", "number", "Second parameter of the Beta posterior", minimum=0),
        Column("labels", "integer", "Corrections and answers learnt from", minimum=0),
    ),
)

IDENTITIES = Table(
    "identities",
    "Who the people are: leaves only with a permission of its own and the agreement of a second person",
    ("person",),
    (
        PERSON,
        Column("participant", "string", "Identifier in the system", identifies=True),
        Column("email", "string", "Mail address", identifies=True),
        Column("first_name", "string", "First name", identifies=True),
        Column("last_name", "string", "Last name", identifies=True),
        Column("birth_year", "integer", "Year of birth", identifies=True),
        Column("zone", "string", "Time zone", identifies=True),
        Column("enrolled_on", "string", "Day of enrolment in the person's zone, ISO 8601", identifies=True),
        Column("allocated_on", "string", "Day of allocation in the person's zone, ISO 8601", identifies=True),
    ),
)
