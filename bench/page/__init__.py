"""What bench/report.py makes its page of: records, SVG by pure functions, tables, sections."""
