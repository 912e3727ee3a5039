"""The page that a widget's own JavaScript leaves in the notebook when the widget cannot live on.

    displays ──a page, now and then──► Lasting.page ──► keepPage in static/shared/lasting.js
                                                          │ it is due, or the kernel goes
                                                          ▼
                                            the notebook's output: a page, no widget

The display replaces its output itself when its time has come. That does not reach a browser's page
that was loaded anew, for JupyterLab forgets the ids of outputs; and a kernel that is killed or
restarted has no last word. A notebook saved then would show an error when it is opened again.
"""

from __future__ import annotations

import traitlets

from nbqueue.notebook.area import Bundle, encodable


class Lasting(traitlets.HasTraits):
    """A widget of which a page is left."""

    page = traitlets.Dict().tag(sync=True)
    """``data`` by MIME type; ``view``, the model whose outputs it replaces; ``due``: at once;
    ``over``: when the notebook is saved, for nothing will change any more."""

    def leave_page(self, data: Bundle, view: str, *, due: bool, over: bool = False) -> None:
        """Give front ends the page that takes the widget's place: now, or when the kernel goes."""
        self.page = {"data": encodable(data), "view": view, "due": due, "over": over}
