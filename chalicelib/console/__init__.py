"""Serve the web console, ``GET /console``: static files that use the other routes.

- ``console_files``: the files, their headers, and what the page must know of the stage.

``files/`` has what browsers load. ``app.js`` is its start. ``uPlot.iife.min.js`` and
``uPlot.min.css`` are files of the npm package uplot, unchanged; ``tests/clients`` pins its version.
"""
