"""JAX's persistent compilation cache: compiled programs that later processes find on disk."""

from __future__ import annotations

from pathlib import Path

import jax


def cache_programs(folder: Path) -> None:
    """Keep every compiled program in a folder, and find it there again.

    JAX's own bounds are lifted: the many small programs of a report are its cold start.
    """
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
