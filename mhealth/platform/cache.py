"""A Redis cache that fails open: throttling is worth less than an accepted check-in."""

from collections.abc import Callable

from django.core.cache.backends.redis import RedisCache
from prometheus_client import Counter
from redis.exceptions import RedisError

AWAY = Counter("mhealth_cache_away_total", "Cache calls that failed because the cache was away")


def _or(otherwise: object, call: Callable, *args: object, **kwargs: object):
    try:
        return call(*args, **kwargs)
    except RedisError:
        AWAY.inc()
        return otherwise


class FailOpenRedisCache(RedisCache):
    """Answers as an empty cache would while Redis is away: nothing counted, every lock free."""

    def get(self, key, default=None, version=None):
        return _or(default, super().get, key, default, version)

    def set(self, key, value, *args, **kwargs):
        return _or(None, super().set, key, value, *args, **kwargs)

    def add(self, key, value, *args, **kwargs):
        return _or(True, super().add, key, value, *args, **kwargs)

    def touch(self, key, *args, **kwargs):
        return _or(False, super().touch, key, *args, **kwargs)

    def delete(self, key, version=None):
        return _or(False, super().delete, key, version)

    def has_key(self, key, version=None):
        return _or(False, super().has_key, key, version)

    def get_many(self, keys, version=None):
        return _or({}, super().get_many, keys, version)

    def set_many(self, data, *args, **kwargs):
        return _or([], super().set_many, data, *args, **kwargs)

    def delete_many(self, keys, version=None):
        return _or(None, super().delete_many, keys, version)
