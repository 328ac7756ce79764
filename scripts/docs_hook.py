"""MkDocs' hook of `build_docs`: a description in a docstring that begins with ">= 0" is no quotation."""

from typing import Any

from markdown import Markdown
from markdown.extensions import Extension


class WithoutQuotations(Extension):
    """Markdown without quotations, of which no page has any."""

    def extendMarkdown(self, md: Markdown) -> None:
        md.parser.blockprocessors.deregister("quote")


def on_config(config: Any) -> Any:
    """Called by MkDocs with its configuration."""
    config.markdown_extensions.append(WithoutQuotations())
    return config
