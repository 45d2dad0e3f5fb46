"""What happened in one call, for whoever asks afterwards: one page of HTML that needs nothing but a browser.

    events (and what decided) -> study.py -> Findings -> picture.py, page.py -> text

Everything up to the page is data and pure functions: `turning.py` says when the caller's mood turned, `recovery.py` how
long it took after each thing that was done, `deeds.py` what was done and why. The page has no script, fetches nothing,
and its template escapes whatever comes out of a call.
"""
