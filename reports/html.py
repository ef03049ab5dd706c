"""A markdown report as an HTML page that stands alone, light or dark as the reader's system is."""

from __future__ import annotations

from html import escape

__all__ = ["report_page"]

_STYLE = """
:root { color-scheme: light dark; --line: light-dark(#e3e6ee, #2b3140); --muted: light-dark(#687186, #98a1b5); }
body { margin: 0; background: light-dark(#f5f6f9, #10131a); color: light-dark(#1c2333, #e7eaf2);
  font: 14.5px/1.55 system-ui, -apple-system, "Segoe UI", "Noto Sans", sans-serif; }
main { max-width: 1120px; margin: 28px auto; padding: 18px 36px 36px; background: light-dark(#fff, #181c26);
  border: 1px solid var(--line); border-radius: 16px; overflow-wrap: break-word; }
h1 { font-size: 25px; letter-spacing: -.015em; } h2 { font-size: 17px; margin: 32px 0 10px; }
p:has(> img:only-child) { display: inline-block; margin: 0; }
table { display: block; overflow-x: auto; border-collapse: collapse; font-variant-numeric: tabular-nums; }
th { text-align: left; color: var(--muted); font-weight: 600; font-size: 12.5px; }
td, th { border-bottom: 1px solid var(--line); padding: 6px 18px 6px 0; vertical-align: top; }
img { margin: 6px 14px 6px 0; max-width: 100%; }
code, pre { font: 12.5px ui-monospace, monospace; }
pre { background: light-dark(#f1f3f8, #10131a); padding: 12px 16px; border-radius: 10px; overflow: auto; }
a { color: light-dark(#2d5be3, #7aa2ff); }
"""
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def report_page(title: str, markdown: str) -> str:
    """Write the page; HTML in the markdown is shown as text, and nothing is loaded from anywhere.

    Args:
        title: Title of the page.
        markdown: The report.
    """
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    # Curves are SVG images, which run no scripts; the parser knows only the older kinds.
    plain = parser.validateLink
    parser.validateLink = lambda url: url.startswith("data:image/svg+xml;base64,") or plain(url)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><main>{parser.render(markdown)}</main></body></html>\n"
    )
