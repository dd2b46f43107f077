-- The role is the whole cluster's and stays; so does an extension that was there before.
DROP SCHEMA monitoring CASCADE;
