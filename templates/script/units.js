// Cards of units: sorted and filtered.
