"""Form fields for what a trial keeps as JSON: lists of numbers as text, lists of objects as the rows of a table."""

from django import forms
from unfold.widgets import UnfoldAdminTextInputWidget

SPARE_ROWS = 2  # empty rows below the filled ones; saving brings new ones, without a script
MOST_ROWS = 100


class NumberList(forms.CharField):
    """Whole numbers with commas between them, "14, 21"."""

    widget = UnfoldAdminTextInputWidget

    def prepare_value(self, value: object) -> object:
        return ", ".join(map(str, value)) if isinstance(value, list) else value

    def to_python(self, value: object) -> list[int]:
        try:
            return [int(part) for part in super().to_python(value).split(",") if part.strip()]
        except ValueError as not_a_number:
            raise forms.ValidationError("Whole numbers with commas between them.") from not_a_number

    def has_changed(self, initial: object, data: object) -> bool:
        return super().has_changed(self.prepare_value(initial), data)


class RowForm(forms.Form):
    """One object of the list. A row with nothing in it is no row: emptying a row deletes it."""

    def __init__(self, data=None, **options) -> None:
        super().__init__(data, empty_permitted=True, use_required_attribute=False, **options)

    @classmethod
    def initial_of(cls, row: dict) -> dict:
        """What the form shows of a stored row."""
        raise NotImplementedError

    def as_json(self) -> dict:
        raise NotImplementedError


class RowsWidget(forms.Widget):
    template_name = "trials/admin/rows.html"
    use_fieldset = True

    def __init__(self, row_form: type[RowForm], **options) -> None:
        super().__init__(**options)
        self.row_form = row_form

    def value_from_datadict(self, data, files, name: str) -> list[RowForm]:
        count = data.get(f"{name}-rows", "")
        n_rows = min(int(count), MOST_ROWS) if count.isdecimal() else 0
        return [self.row_form(data, prefix=f"{name}-{i}") for i in range(n_rows)]

    def get_context(self, name: str, value: object, attrs: dict | None) -> dict:
        shown = list(value or [])
        if not (shown and isinstance(shown[0], RowForm)):
            initials = [self.row_form.initial_of(row) for row in shown] + [{}] * SPARE_ROWS
            shown = [self.row_form(prefix=f"{name}-{i}", initial=initial) for i, initial in enumerate(initials)]
        for number, row in enumerate(shown, 1):
            for cell in row:
                cell.field.widget.attrs["aria-label"] = f"{cell.label}, row {number}"
        context = super().get_context(name, None, attrs)
        return context | {"rows": shown, "columns": list(self.row_form())}


class Rows(forms.Field):
    """A list of objects, edited as rows."""

    def __init__(self, row_form: type[RowForm], **options) -> None:
        super().__init__(required=False, widget=RowsWidget(row_form), **options)

    def clean(self, rows: list[RowForm]) -> list[dict]:
        filled = [(number, row) for number, row in enumerate(rows, 1) if row.has_changed()]
        wrong = [
            f"Row {number}, {row[name].label if name in row.fields else 'as a whole'}: {error}"
            for number, row in filled
            for name, errors in row.errors.items()
            for error in errors
        ]
        if wrong:
            raise forms.ValidationError(wrong)
        return [row.as_json() for _, row in filled]

    def has_changed(self, initial: object, rows: list[RowForm]) -> bool:
        try:
            return (initial or []) != self.clean(rows)
        except forms.ValidationError:
            return True
