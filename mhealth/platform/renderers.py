from rest_framework.renderers import JSONRenderer


class ZipRenderer(JSONRenderer):
    """Lets a client ask for application/zip; what is not the file itself (a status, a problem) stays JSON."""

    media_type = "application/zip"
    format = "zip"

    def get_indent(self, accepted_media_type, renderer_context) -> None:
        return None
