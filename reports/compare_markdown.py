def render_comparison(c): return ""
