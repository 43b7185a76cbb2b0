"""`make test`: the quick suite on SQLite, then the same against PostgreSQL and Redis where they answer.

TEST_DATABASE_URL and TEST_REDIS_URL name the services; without them the usual loopback addresses are tried.
With REQUIRE_SERVICES=1 a service that does not answer fails the run instead of being left out.
"""

import os
import subprocess
import sys

import psycopg2
import redis

DATABASE_URL = os.environ.get("TEST_DATABASE_URL", "postgresql://postgres@127.0.0.1:5432/mhealth")
REDIS_URL = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379/13")
PURE = ["--ignore=tests/emotion", "--ignore=tests/recommender", "--ignore=tests/fixtures"]
BOTH_CORES = ["-n", "2", "--dist", "loadfile"]
NO_JOURNEYS = "--ignore=tests/journeys"  # they start servers and workers of their own, one at a time


def services_missing() -> list[str]:
    missing = []
    try:
        psycopg2.connect(DATABASE_URL.rsplit("/", 1)[0] + "/postgres", connect_timeout=3).close()
    except psycopg2.Error as away:
        missing.append(f"PostgreSQL ({str(away).strip().splitlines()[0]})")
    try:
        redis.Redis.from_url(REDIS_URL, socket_connect_timeout=3).ping()
    except redis.RedisError as away:
        missing.append(f"Redis ({away})")
    return missing


def pytest(*arguments: str, **environment: str) -> int:
    return subprocess.call([sys.executable, "-m", "pytest", *arguments], env=os.environ | environment)


def main() -> int:
    extra = sys.argv[1:]
    codes = [
        say("On SQLite, without a broker:") or pytest(*BOTH_CORES, NO_JOURNEYS, *extra),
        say("Journeys and faults, embedded:") or pytest("tests/journeys", "-m", "not services", *extra),
    ]
    if missing := services_missing():
        say(f"Not run against services, which do not answer: {'; '.join(missing)}")
        codes.append(int(os.environ.get("REQUIRE_SERVICES") == "1"))
    else:
        services = {"DATABASE_URL": DATABASE_URL, "TEST_REDIS_URL": REDIS_URL, "WITH_SERVICES": "1"}
        codes += [
            say("On PostgreSQL:") or pytest(*BOTH_CORES, NO_JOURNEYS, *PURE, *extra, **services),
            say("Journeys and faults, with PostgreSQL, Redis and real workers:")
            or pytest("tests/journeys", "-m", "services", *extra, **services),
        ]
    return max(codes)


def say(line: str) -> None:
    sys.stdout.write(f"\n{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
