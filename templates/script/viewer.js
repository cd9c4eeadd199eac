// Pictures enlarged, with the values under the cursor.
