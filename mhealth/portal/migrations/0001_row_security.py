"""Row-level security behind `visible_to`, on PostgreSQL. The highest floor knows every room's tables.

A row of a person is there for this person, for clinicians of their care team, for trial managers and researchers of
their study, and for workers. What of it a page shows is decided by `visible_to`; this is the wall behind it.
"""

from django.db import migrations

from mhealth.platform.policies import guard, on_postgresql, through

FUNCTIONS = """
CREATE FUNCTION mhealth_acts_for_everybody() RETURNS boolean LANGUAGE sql STABLE
RETURN coalesce(current_setting('mhealth.actor', true) = 'everybody', false);

CREATE FUNCTION mhealth_user() RETURNS uuid LANGUAGE sql STABLE
RETURN CASE WHEN length(current_setting('mhealth.actor', true)) = 36 THEN current_setting('mhealth.actor')::uuid END;

CREATE FUNCTION mhealth_has_role(VARIADIC names text[]) RETURNS boolean LANGUAGE sql STABLE
RETURN EXISTS (
    SELECT FROM people_user_groups AS mine JOIN auth_group AS role ON role.id = mine.group_id
    WHERE mine.user_id = mhealth_user() AND role.name = ANY (names)
);

CREATE FUNCTION mhealth_my_care_teams() RETURNS SETOF bigint LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT careteam_id FROM people_careteam_clinicians
    WHERE user_id = mhealth_user() AND (SELECT mhealth_has_role('clinician'));
END;

CREATE FUNCTION mhealth_my_studies() RETURNS SETOF bigint LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT study_id FROM people_studymember
    WHERE user_id = mhealth_user() AND (SELECT mhealth_has_role('trial_manager', 'researcher'));
END;

CREATE FUNCTION mhealth_my_trials() RETURNS SETOF bigint LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT id FROM trials_trial WHERE study_id IN (SELECT mhealth_my_studies());
END;
"""
GONE = """
DROP FUNCTION mhealth_my_trials(), mhealth_my_studies(), mhealth_my_care_teams();
DROP FUNCTION mhealth_has_role(text[]), mhealth_user(), mhealth_acts_for_everybody();
"""

PERSON = through("participant_id", "people_participant")
CHECK_IN = through("check_in_id", "checkins_checkin")
ENROLMENT = through("enrolment_id", "trials_enrolment")
OF_MY_TRIAL = "trial_id IN (SELECT mhealth_my_trials())"
RULES = {
    "people_participant": "user_id = (SELECT mhealth_user()) OR care_team_id IN (SELECT mhealth_my_care_teams())"
    " OR study_id IN (SELECT mhealth_my_studies())",
    "people_consent": PERSON,
    "people_followup": PERSON,
    "people_erasurerequest": PERSON,
    "people_dataexport": PERSON,
    # Whoever works on the study makes codes and sees whether they were used.
    "people_enrolmentcode": through("used_by_id", "people_participant")
    + " OR study_id IN (SELECT study_id FROM people_studymember WHERE user_id = (SELECT mhealth_user()))",
    "safety_riskevent": PERSON,
    "safety_riskmove": through("event_id", "safety_riskevent"),
    "outcomes_occasion": PERSON,
    "outcomes_response": through("occasion_id", "outcomes_occasion"),
    "outcomes_scalescore": through("response_id", "outcomes_response"),
    "trials_enrolment": PERSON,
    # Slots that are free, and requests to unblind a whole trial, are nobody's.
    "trials_slot": f"{OF_MY_TRIAL} OR {through('taken_by_id', 'trials_enrolment')}",
    "trials_unblindingrequest": f"{OF_MY_TRIAL} OR {ENROLMENT}",
    "trials_withdrawal": ENROLMENT,
    "trials_adverseevent": ENROLMENT,
    "trials_deviation": ENROLMENT,
    "checkins_checkin": PERSON,
    "checkins_part": CHECK_IN,
    "checkins_estimate": CHECK_IN,
    "checkins_correction": CHECK_IN,
    "checkins_calibrationclip": CHECK_IN,
    "checkins_disparityreport": CHECK_IN,
    "checkins_explanation": CHECK_IN,
    "checkins_personalreliability": PERSON,
    "interventions_decision": PERSON,
    "interventions_decisionevent": through("decision_id", "interventions_decision"),
    "interventions_carechoice": PERSON,
}


class Migration(migrations.Migration):
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("people", "0002_follow_ups"),
        ("safety", "0001_initial"),
        ("outcomes", "0001_initial"),
        ("trials", "0001_initial"),
        ("checkins", "0004_face_and_voice"),
        ("interventions", "0001_initial"),
    ]
    operations = [on_postgresql(FUNCTIONS, GONE), *(guard(table, rule) for table, rule in RULES.items())]
