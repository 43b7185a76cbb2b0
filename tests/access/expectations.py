"""The matrix: one line for each method of each route, one column for each kind of caller.

M  2xx, and the answer holds something of Ada's     E  2xx, and it holds nothing of Ada's
1  401    3  403    4  404    9  409    2  422: none of them holds anything of Ada's
"""

COLUMNS = [
    "nobody",
    "owner",
    "other",
    "clinician",
    "other_clinician",
    "reviewer",
    "researcher",
    "manager",
    "operator",
    "outsider",
]

MATRIX = """
GET    health/live                                      E E E E E E E E E E
GET    health/ready                                     E E E E E E E E E E
POST   session/                                         E E E E E E E E E E
DELETE session/                                         1 E E E E E E E E E
POST   session/password-reset/                          E E E E E E E E E E
PUT    session/password-reset/                          2 2 2 2 2 2 2 2 2 2
POST   session/verify-email/                            1 E E E E E E E E E
PUT    session/verify-email/                            2 2 2 2 2 2 2 2 2 2
GET    me/                                              1 M E 3 3 3 3 3 3 3
PATCH  me/                                              1 M E 3 3 3 3 3 3 3
GET    me/consents/                                     1 E E 3 3 3 3 3 3 3
POST   me/consents/                                     1 E E 3 3 3 3 3 3 3
GET    me/devices/                                      1 M E E E E E E E E
PATCH  me/devices/<uuid:id>/                            1 M 4 4 4 4 4 4 4 4
DELETE me/devices/<uuid:id>/                            1 E 4 4 4 4 4 4 4 4
GET    me/participation/                                1 E E 3 3 3 3 3 3 3
POST   me/participation/                                1 E E 3 3 3 3 3 3 3
GET    me/erasure/                                      1 E E 3 3 3 3 3 3 3
POST   me/erasure/                                      1 E E 3 3 3 3 3 3 3
DELETE me/erasure/                                      1 E 9 3 3 3 3 3 3 3
GET    me/export/                                       1 4 4 3 3 3 3 3 3 3
POST   me/export/                                       1 E E 3 3 3 3 3 3 3
GET    me/trial/                                        1 M 4 3 3 3 3 3 3 3
GET    support/                                         E E E E E E E E E E
GET    risk-events/                                     1 3 3 M E 3 3 3 3 E
POST   risk-events/                                     1 3 3 M 4 3 3 3 3 4
GET    risk-events/<uuid:pk>/                           1 3 3 M 4 3 3 3 3 4
POST   risk-events/<uuid:pk>/acknowledge/               1 3 3 M 4 3 3 3 3 4
POST   risk-events/<uuid:pk>/act/                       1 3 3 9 4 3 3 3 3 4
POST   risk-events/<uuid:pk>/confirm-contact/           1 3 3 9 4 3 3 3 3 4
POST   risk-events/<uuid:pk>/close/                     1 3 3 9 4 3 3 3 3 4
GET    questionnaires/                                  1 M E 3 3 3 3 3 3 3
PUT    questionnaires/<uuid:occasion>/response/         1 M 4 3 3 3 3 3 3 3
GET    fhir/Questionnaire/<slug:slug>/<str:version>/    1 E 4 3 3 3 3 3 3 3
GET    fhir/QuestionnaireResponse/<uuid:occasion>/      1 M 4 3 3 3 3 3 3 3
PUT    fhir/QuestionnaireResponse/<uuid:occasion>/      1 M 4 3 3 3 3 3 3 3
GET    fhir/Observation/                                1 3 3 3 3 3 3 3 3 3
GET    trials/<slug:slug>/                              1 3 3 3 3 3 3 E 3 4
GET    trials/<slug:slug>/enrolments/                   1 3 3 3 3 3 3 M 3 4
POST   trials/<slug:slug>/enrolments/                   1 3 3 3 3 3 3 9 3 4
POST   trials/<slug:slug>/enrolments/<uuid:pk>/allocation/  1 3 3 3 3 3 3 M 3 4
POST   trials/<slug:slug>/enrolments/<uuid:pk>/baseline/    1 3 3 3 3 3 3 9 3 4
POST   trials/<slug:slug>/enrolments/<uuid:pk>/withdrawal/  1 3 3 3 3 3 3 E 3 4
GET    trials/<slug:slug>/screenings/                   1 3 3 3 3 3 3 M 3 4
POST   trials/<slug:slug>/screenings/                   1 3 3 3 3 3 3 9 3 4
GET    trials/<slug:slug>/adverse-events/               1 M 4 M 4 3 3 M 3 4
POST   trials/<slug:slug>/adverse-events/               1 M 4 M 4 3 3 M 3 4
GET    trials/<slug:slug>/deviations/                   1 3 3 3 3 3 3 M 3 4
POST   trials/<slug:slug>/deviations/                   1 3 3 3 3 3 3 M 3 4
GET    trials/<slug:slug>/unblinding-requests/          1 3 3 3 3 3 3 M 3 4
POST   trials/<slug:slug>/unblinding-requests/          1 3 3 3 3 3 3 M 3 4
GET    trials/<slug:slug>/unblinding-requests/<uuid:pk>/            1 3 3 3 3 3 3 M 3 4
POST   trials/<slug:slug>/unblinding-requests/<uuid:pk>/decision/   1 3 3 3 3 3 3 M 3 4
GET    me/voice-baseline/                               1 E E 3 3 3 3 3 3 3
DELETE me/voice-baseline/                               1 E E 3 3 3 3 3 3 3
GET    check-ins/                                       1 M E 3 3 3 3 3 3 3
POST   check-ins/                                       1 E E 3 3 3 3 3 3 3
POST   check-ins/batch/                                 1 E E 3 3 3 3 3 3 3
GET    check-ins/<uuid:pk>/                             1 M 4 M 4 3 3 3 3 4
PUT    check-ins/<uuid:pk>/correction/                  1 M 4 3 3 3 3 3 3 3
GET    caseload/check-ins/<uuid:pk>/disparity/          1 3 3 M 4 3 3 3 3 4
GET    caseload/check-ins/<uuid:pk>/explanation/        1 3 3 M 4 3 3 3 3 4
POST   caseload/check-ins/<uuid:pk>/explanation/        1 3 3 M 4 3 3 3 3 4
GET    activities/                                      1 E E E E 3 3 3 3 E
GET    recommendations/                                 1 M 4 3 3 3 3 3 3 3
POST   recommendations/                                 1 E E 3 3 3 3 3 3 3
POST   recommendations/<uuid:pk>/events/                1 E 4 3 3 3 3 3 3 3
POST   recommendations/<uuid:pk>/others/                1 E 4 3 3 3 3 3 3 3
GET    research/trials/<slug:slug>/                     1 3 3 3 3 3 E E 3 4
GET    research/exports/                                1 3 3 3 3 3 E 3 3 E
POST   research/exports/                                1 3 3 3 3 3 E 3 3 4
GET    research/exports/<uuid:pk>/                      1 3 3 3 3 3 E 3 3 4
DELETE research/exports/<uuid:pk>/                      1 3 3 3 3 3 E 3 3 4
GET    research/exports/<uuid:pk>/approval/             1 3 3 3 3 3 3 E 3 4
POST   research/exports/<uuid:pk>/approval/             1 3 3 3 3 3 3 E 3 4
GET    research/exports/<uuid:pk>/file/                 4 4 4 4 4 4 4 4 4 4
"""


def matrix() -> dict[tuple[str, str], dict[str, str]]:
    """(method, route) -> caller -> code."""
    lines = (line.split() for line in MATRIX.strip().splitlines())
    return {(method, route): dict(zip(COLUMNS, codes, strict=True)) for method, route, *codes in lines}
