"""The random-intercept model against a published fit.

Data: average reaction time (ms) per day of 18 people on three hours of sleep, days 0 to 9; Belenky et al. (2003),
J Sleep Res 12:1-12, as the data set `sleepstudy` of the R package lme4 gives it (180 rows).
Fit: Bates, Mächler, Bolker & Walker (2015), J Stat Softw 67(1); lmer(Reaction ~ Days + (1 | Subject)), REML:
intercept 251.4051 (9.7467), slope 10.4673 (0.8042), SD of the intercepts 37.12, residual SD 30.99.
"""

import numpy as np
import pytest

from mhealth.research.analysis.effects import NotIdentified
from mhealth.research.analysis.mixed import random_intercept

# person, then the reaction times of days 0 to 9
ROWS = """
308 249.56 258.7047 250.8006 321.4398 356.8519 414.6901 382.2038 290.1486 430.5853 466.3535
309 222.7339 205.2658 202.9778 204.707 207.7161 215.9618 213.6303 217.7272 224.2957 237.3142
310 199.0539 194.3322 234.32 232.8416 229.3074 220.4579 235.4208 255.7511 261.0125 247.5153
330 321.5426 300.4002 283.8565 285.133 285.7973 297.5855 280.2396 318.2613 305.3495 354.0487
331 287.6079 285 301.8206 320.1153 316.2773 293.3187 290.075 334.8177 293.7469 371.5811
332 234.8606 242.8118 272.9613 309.7688 317.4629 309.9976 454.1619 346.8311 330.3003 253.8644
333 283.8424 289.555 276.7693 299.8097 297.171 338.1665 332.0265 348.8399 333.36 362.0428
334 265.4731 276.2012 243.3647 254.6723 279.0244 284.1912 305.5248 331.5229 335.7469 377.299
335 241.6083 273.9472 254.4907 270.8021 251.4519 254.6362 245.4523 235.311 235.7541 237.2466
337 312.3666 313.8058 291.6112 346.1222 365.7324 391.8385 404.2601 416.6923 455.8643 458.9167
349 236.1032 230.3167 238.9256 254.922 250.7103 269.7744 281.5648 308.102 336.2806 351.6451
350 256.2968 243.4543 256.2046 255.5271 268.9165 329.7247 379.4445 362.9184 394.4872 389.0527
351 250.5265 300.0576 269.8939 280.5891 271.8274 304.6336 287.7466 266.5955 321.5418 347.5655
352 221.6771 298.1939 326.8785 346.8555 348.7402 352.8287 354.4266 360.4326 375.6406 388.5417
369 271.9235 268.4369 257.2424 277.6566 314.8222 317.2135 298.1353 348.1229 340.28 366.5131
370 225.264 234.5235 238.9008 240.473 267.5373 344.1937 281.1481 347.5855 365.163 372.2288
371 269.8804 272.4428 277.8989 281.7895 279.1705 284.512 259.2658 304.6306 350.7807 369.4692
372 269.4117 273.474 297.5968 310.6316 287.1726 329.6076 334.4818 343.2199 369.1417 364.1236
"""


@pytest.fixture(scope="module")
def sleepstudy():
    """outcome, columns (intercept, day), people"""
    table = np.array([line.split() for line in ROWS.strip().splitlines()], float)
    people, reactions = table[:, 0], table[:, 1:]
    days = np.tile(np.arange(10.0), len(people))
    return reactions.ravel(), np.column_stack([np.ones(reactions.size), days]), np.repeat(people, 10)


def test_the_rows_are_the_published_ones(sleepstudy):
    outcome, columns, people = sleepstudy
    assert (len(outcome), len(np.unique(people))) == (180, 18)
    assert outcome.mean() == pytest.approx(298.5079, abs=1e-4)
    slope, intercept = np.polyfit(columns[:, 1], outcome, 1)  # lm(Reaction ~ Days): 251.405 and 10.467
    assert (intercept, slope) == (pytest.approx(251.405, abs=5e-4), pytest.approx(10.467, abs=5e-4))


def test_the_random_intercept_model_is_the_published_fit(sleepstudy):
    fit = random_intercept(*sleepstudy)
    assert fit.converged
    assert fit.fixed == pytest.approx([251.4051, 10.4673], abs=1e-4)
    assert fit.se == pytest.approx([9.7467, 0.8042], abs=1e-3)
    assert fit.sd_person == pytest.approx(37.124, abs=2e-3)
    assert fit.sd_residual == pytest.approx(30.991, abs=2e-3)


def test_one_row_per_person_identifies_no_random_intercept(sleepstudy):
    outcome, columns, people = sleepstudy
    first = columns[:, 1] == 0
    with pytest.raises(NotIdentified, match="two follow-ups"):
        random_intercept(outcome[first], columns[first, :1], people[first])
