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
NO_TESTS_COLLECTED = 5


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
    sys.stdout.write("On SQLite, without a broker:\n")
    sys.stdout.flush()
    failed = pytest("-m", "not services", *extra)
    missing = services_missing()
    if missing:
        sys.stdout.write(f"Not run against services, which do not answer: {'; '.join(missing)}\n")
        return failed or int(os.environ.get("REQUIRE_SERVICES") == "1")
    sys.stdout.write("On PostgreSQL, with Redis and real workers:\n")
    sys.stdout.flush()
    return pytest(*PURE, *extra, DATABASE_URL=DATABASE_URL, TEST_REDIS_URL=REDIS_URL, WITH_SERVICES="1") or failed


if __name__ == "__main__":
    sys.exit(main())
