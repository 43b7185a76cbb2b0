"""Uploads stay in memory until they are encrypted: a clear face never touches the disk."""

from django.core.files.uploadhandler import MemoryFileUploadHandler

from mhealth.platform.problems import Problem

REQUEST_MAX_BYTES = 36 * 1024 * 1024  # the largest photo and the largest recording, with room for the rest


class TooLarge(Problem):
    status_code = 413
    default_code = "too-large"
    title = "Too large"


class BoundedMemory(MemoryFileUploadHandler):
    def handle_raw_input(self, input_data, META, content_length, boundary, encoding=None):
        if content_length > REQUEST_MAX_BYTES:
            raise TooLarge(f"One request may carry {REQUEST_MAX_BYTES // 2**20} MB at most.")
        self.activated = True
