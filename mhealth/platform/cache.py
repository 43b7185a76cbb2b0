"""A Redis cache that fails open: throttling is worth less than an accepted check-in."""

from django.core.cache.backends.redis import RedisCache
from prometheus_client import Counter
from redis.exceptions import RedisError

AWAY = Counter("mhealth_cache_away_total", "Cache calls that failed because the cache was away")


class FailOpenRedisCache(RedisCache):
    def get(self, key, default=None, version=None):
        try:
            return super().get(key, default, version)
        except RedisError:
            AWAY.inc()
            return default

    def set(self, key, value, timeout=300, version=None):
        try:
            return super().set(key, value, timeout, version)
        except RedisError:
            AWAY.inc()
            return None
