"""Login roles with generated passwords for a PostgreSQL server of one's own.

The server is told SCRAM verifiers alone, on psql's standard input: no password is in its log, in a process list or in this
program's output. The passwords go into files of mode 0600 in a directory of mode 0700.
"""

import argparse
import base64
import hashlib
import hmac
import os
import re
import secrets
import subprocess
import sys

ITERATIONS = 4096

# Each read model has a role of its name that reads it and finds its tables without naming their schema.
READ_MODELS = ("mistudio", "pic")

# Login role, the group whose rights it has, the file of its password, and what is set when it logs in.
LOGINS = [
    ("trainmaster_owner", None, "database_direct_password", {}),
    ("trainmaster_app", ", ".join(("trainmaster_daemon", *READ_MODELS)), "database_password",
     {"statement_timeout": "60s", "idle_in_transaction_session_timeout": "60s"}),
    *((f"{name}_app", name, f"{name}_password", {"search_path": name}) for name in READ_MODELS),
    ("trainmaster_watch", "trainmaster_monitor", "monitor_password", {"default_transaction_read_only": "on"}),
]


def verifier(password):
    """RFC 5803, as PostgreSQL stores it. The generated passwords are ASCII, so SASLprep changes nothing."""
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ITERATIONS)
    client = hmac.digest(salted, b"Client Key", "sha256")
    server = hmac.digest(salted, b"Server Key", "sha256")
    encoded = [base64.b64encode(part).decode() for part in (salt, hashlib.sha256(client).digest(), server)]
    return f"SCRAM-SHA-256${ITERATIONS}:{encoded[0]}${encoded[1]}:{encoded[2]}"


def write(directory, name, text):
    """Beside, synced, renamed; nobody else may read it at any moment."""
    path = os.path.join(directory, name)
    beside = path + ".new"
    if os.path.exists(beside):
        os.remove(beside)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.rename(beside, path)


def psql(database, sql):
    done = subprocess.run(
        ["psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1", f"--dbname={database}"],
        input=sql, text=True, capture_output=True)
    if done.returncode != 0:
        # The message quotes the statement; verifiers are left out of it all the same.
        said = re.sub(r"SCRAM-SHA-256\$[^']*", "SCRAM-SHA-256$…", done.stderr.strip())
        sys.exit(f"psql: {said}\nConnect as a superuser: PGHOST, PGPORT, PGUSER and ~/.pgpass are psql's.")
    return done.stdout


def main():
    parser = argparse.ArgumentParser(prog="create-roles", description=__doc__.splitlines()[0])
    parser.add_argument("--database", default="trainmaster", help="the database; made when it is missing [default: trainmaster]")
    parser.add_argument("--credentials", default="/etc/trainmaster/credentials", help="where the passwords go [default: %(default)s]")
    parser.add_argument("--rotate", action="store_true", help="give new passwords to roles that are there already")
    arguments = parser.parse_args()
    name, directory = arguments.database, arguments.credentials
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", name):
        sys.exit("--database takes a name of small letters, digits and _, at most 63")

    os.makedirs(directory, mode=0o700, exist_ok=True)
    if os.stat(directory).st_mode & 0o077:
        sys.exit(f"{directory} is open to others: chmod 700 it")
    known = psql("postgres", "SELECT rolname FROM pg_roles").split()

    sql = ["SET log_statement = 'none'; SET log_min_duration_statement = -1; SET password_encryption = 'scram-sha-256';",
           # An error is said, without its statement, in the server's log as well.
           "SET log_min_error_statement = 'panic';", "BEGIN;"]
    for group in ("trainmaster_daemon", "trainmaster_monitor", *READ_MODELS):
        if group not in known:
            sql.append(f"CREATE ROLE {group} NOLOGIN;")
    sql.append("GRANT pg_monitor TO trainmaster_monitor;")
    changed = []
    for role, groups, file, _ in LOGINS:
        if role in known and not arguments.rotate:
            continue
        password = secrets.token_hex(32)
        verified = verifier(password)
        changed.append((role, file, password, verified))
        verb = "ALTER" if role in known else "CREATE"
        sql.append(f"{verb} ROLE {role} LOGIN PASSWORD '{verified}';")
        if groups:
            sql.append(f"GRANT {groups} TO {role};")
    # The owner makes the tables and lets the daemon's role use them.
    sql.append("GRANT trainmaster_daemon TO trainmaster_owner;")
    sql.append("COMMIT;")
    psql("postgres", "\n".join(sql))
    # Afterwards: where the server refuses, the passwords that are there stay good. One that is lost here is replaced by --rotate.
    for role, file, password, _ in changed:
        write(directory, file, password + "\n")

    if not psql("postgres", f"SELECT 1 FROM pg_database WHERE datname = '{name}'").strip():
        psql("postgres", f"CREATE DATABASE {name} OWNER trainmaster_owner ENCODING 'UTF8' TEMPLATE template0")
    settings = [f"ALTER ROLE {role} IN DATABASE {name} SET {key} = '{value}';"
                for role, _, _, values in LOGINS for key, value in values.items()]
    psql(name, "\n".join(settings + [
        *(f"ALTER ROLE {read_model} IN DATABASE {name} SET search_path = {read_model};" for read_model in READ_MODELS),
        f"REVOKE ALL ON DATABASE {name} FROM PUBLIC;",
        f"GRANT CONNECT ON DATABASE {name} TO {', '.join(role for role, *_ in LOGINS)};",
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC;",
        # Trusted extensions the owner makes itself; this one takes a superuser.
        "DO $$ BEGIN CREATE EXTENSION IF NOT EXISTS pg_stat_statements; EXCEPTION WHEN OTHERS THEN"
        " RAISE NOTICE 'pg_stat_statements is not to be had: %', SQLERRM; END $$;",
        # Where migrations have been already.
        "DO $$ BEGIN IF to_regprocedure('monitoring.admit()') IS NOT NULL THEN PERFORM monitoring.admit(); END IF; END $$;",
    ]))

    lines = {}
    for role, file, password, verified in changed:
        lines[role] = (f"*:*:*:{role}:{password}", f'"{role}" "{verified}"')
    for file, which in (("pgpass", 0), ("userlist.txt", 1)):
        kept = []
        path = os.path.join(directory, file)
        if os.path.exists(path):
            with open(path) as old:
                of_role = (lambda line: line.split(":")[3]) if which == 0 else (lambda line: line.split('"')[1])
                kept = [line.rstrip("\n") for line in old if line.strip() and of_role(line) not in lines]
        write(directory, file, "".join(line + "\n" for line in kept + [both[which] for both in lines.values()]))
    for role, *_ in LOGINS:
        print(f"{role}: {'new password' if role in lines else 'as it was'}")
    print(f"passwords: {directory}")


main()
