-- Rows that belong to no partition of their table.
-- Worry when: there are any.
-- Then: find out who wrote them (only the projector writes read models), then trainmaster projections rebuild.
SELECT schema_name, table_name, stray_rows FROM monitoring.stray_rows ORDER BY stray_rows DESC;
