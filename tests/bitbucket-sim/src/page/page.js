"use strict";
// One page for all pull requests and commits: it reads the simulator's view, and writes through Bitbucket's REST API
// with the token of whoever the person chose to be.
const context = document.body.dataset.context;
const place = locate();
const main = document.getElementById("main");
const who = document.getElementById("who");
let view = null;
let editor = null; // {kind, id, anchor, text}: at most one is open, and it survives updates
let known = null; // comment ids and versions seen, to mark what is new

function locate() {
  const path = location.pathname.slice(context.length);
  const found = path.match(/^\/(projects|users)\/([^/]+)\/repos\/([^/]+)(?:\/pull-requests\/(\d+))?(?:\/commits\/([^/]+))?/);
  if (!found) return null;
  const [, kind, owner, repo, id, commit] = found.map((part) => part && decodeURIComponent(part));
  const all = { project: kind === "users" ? "~" + owner : owner, repo, id, commit };
  return Object.fromEntries(Object.entries(all).filter(([, part]) => part));
}

function el(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false && value !== undefined) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

function html(text) {
  const element = el("div", { class: "text" });
  element.innerHTML = text || ""; // escaped by the server; it lets no author's HTML through
  return element;
}

function avatar(user, small) {
  const name = user ? user.displayName : "?";
  let hue = 0;
  for (const c of name) hue = (hue * 31 + c.codePointAt(0)) % 360;
  const initials = name.split(/[\s._-]+/).map((part) => part[0] || "").join("").slice(0, 2).toUpperCase();
  return el("span", { class: small ? "avatar small" : "avatar", style: `background:hsl(${hue} 45% 42%)`, title: name }, initials);
}

function ago(at) {
  return el("time", { datetime: new Date(at).toISOString(), title: new Date(at).toLocaleString() }, since(at));
}

function since(at) {
  const seconds = Math.round((Date.now() - at) / 1000);
  return seconds < 5 ? "just now" : seconds < 60 ? `${seconds} s ago` : seconds < 3600 ? `${Math.floor(seconds / 60)} min ago`
    : seconds < 86400 ? `${Math.floor(seconds / 3600)} h ago` : new Date(at).toLocaleDateString();
}
setInterval(() => {
  for (const time of document.querySelectorAll("time")) time.textContent = since(Date.parse(time.dateTime));
}, 5000);

function me() {
  return view && view.users.find((user) => user.name === who.value);
}

async function rest(method, path, body) {
  const user = me();
  if (!user) return toast("Choose who you are first.");
  const { project, repo, id } = place;
  const url = `${context}/rest/api/latest/projects/${encodeURIComponent(project)}/repos/${encodeURIComponent(repo)}/pull-requests/${id}${path}`;
  const headers = { Authorization: `Bearer ${user.token}`, Accept: "application/json", "Content-Type": "application/json", "X-Atlassian-Token": "no-check" };
  const answer = await fetch(url, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  if (answer.ok) return answer;
  const text = await answer.text();
  let message = text;
  try { message = JSON.parse(text).errors.map((error) => error.message || error.exceptionName).join("; "); } catch { /* not JSON: shown as it is */ }
  toast(`${answer.status}: ${message}`);
  return null;
}

let toastTimer = 0;
function toast(message) {
  const box = document.getElementById("toast");
  box.textContent = message;
  box.hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { box.hidden = true; }, 6000);
  return null;
}

function open(kind, id, anchor, text) {
  editor = { kind, id, anchor, text: text || "" };
  render();
  const area = main.querySelector("form.editor.open textarea");
  if (area) { area.focus(); area.setSelectionRange(area.value.length, area.value.length); }
}

function form(label, value, submit, cancellable) {
  const area = el("textarea", { placeholder: "What do you want to say? Markdown works.", "aria-label": label });
  area.value = value;
  area.addEventListener("input", () => { if (cancellable && editor) editor.text = area.value; else if (!cancellable) draft = area.value; });
  const send = async (event) => {
    event.preventDefault();
    if (!area.value.trim()) return;
    if (await submit(area.value)) {
      if (cancellable) editor = null; else draft = "";
      render();
    }
  };
  area.addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) send(event); });
  return el("form", { class: cancellable ? "editor open" : "editor", onsubmit: send }, area,
    el("div", { class: "row" }, el("button", { class: "primary", type: "submit" }, label),
      cancellable && el("button", { type: "button", onclick: () => { editor = null; render(); } }, "Cancel")));
}
let draft = "";

function comment(item, depth) {
  const user = me();
  const own = user && item.author && user.name === item.author.name;
  const editing = editor && editor.kind === "edit" && editor.id === item.id;
  const replying = editor && editor.kind === "reply" && editor.id === item.id;
  const fresh = known && known.get(item.id) !== item.version;
  const task = item.severity === "BLOCKER";
  const head = el("div", { class: "head" }, el("b", {}, item.author ? item.author.displayName : "Former user"), ago(item.createdDate),
    item.version > 0 && el("span", { class: "tag", title: `version ${item.version}` }, "edited"),
    task && el("span", { class: item.state === "RESOLVED" ? "tag done" : "tag task" }, item.state === "RESOLVED" ? "task done" : "task"),
    item.state === "PENDING" && el("span", { class: "tag" }, "pending"),
    item.threadResolved && el("span", { class: "tag done" }, "resolved"));
  const reactions = (item.properties.reactions || []).map((reaction) =>
    el("span", { class: "reaction", title: reaction.users.map((u) => u.displayName).join(", ") }, `${reaction.emoticon.value || ":" + reaction.emoticon.shortcut + ":"} ${reaction.users.length}`));
  const put = (body) => rest("PUT", `/comments/${item.id}`, { version: item.version, ...body });
  const tools = el("div", { class: "tools" },
    el("button", { class: "link", onclick: () => open("reply", item.id) }, "Reply"),
    own && el("button", { class: "link", onclick: () => open("edit", item.id, null, item.text) }, "Edit"),
    own && item.replies.length === 0 && el("button", { class: "link", onclick: () => rest("DELETE", `/comments/${item.id}?version=${item.version}`) }, "Delete"),
    task && el("button", { class: "link", onclick: () => put({ state: item.state === "RESOLVED" ? "OPEN" : "RESOLVED" }) }, item.state === "RESOLVED" ? "Reopen task" : "Complete task"),
    depth === 0 && !task && el("button", { class: "link", onclick: () => put({ threadResolved: !item.threadResolved }) }, item.threadResolved ? "Reopen" : "Resolve"));
  return el("div", { class: fresh ? "comment fresh" : "comment", id: `comment-${item.id}` }, avatar(item.author, depth > 0),
    el("div", { class: "body" }, head,
      editing ? form("Save", editor.text, (text) => put({ text }), true) : html(item.html),
      reactions.length > 0 && el("div", { class: "reactions" }, reactions),
      !editing && tools,
      replying && form("Reply", editor.text, (text) => rest("POST", "/comments", { text, parent: { id: item.id } }), true),
      item.replies.length > 0 && el("div", { class: "replies" }, item.replies.map((reply) => comment(reply, depth + 1)))));
}

function thread(item) {
  return el("div", { class: "thread" }, comment(item, 0));
}

function sameLine(anchor, path, line) {
  if (!anchor || anchor.path !== path || anchor.lineType !== line.type) return false;
  return anchor.line === (anchor.fileType === "FROM" ? line.source : line.destination);
}

function fileDiff(file, threads) {
  const shown = new Set();
  const rows = [];
  const counts = { ADDED: 0, REMOVED: 0 };
  for (const hunk of file.hunks || []) {
    rows.push(el("tr", { class: "hunk" }, el("td", { colspan: 4, class: "code" }, `@@ -${hunk.sourceLine},${hunk.sourceSpan} +${hunk.destinationLine},${hunk.destinationSpan} @@ ${hunk.context}`)));
    for (const segment of hunk.segments) {
      for (const raw of segment.lines) {
        const line = { ...raw, type: segment.type };
        counts[segment.type] += 1;
        const from = segment.type === "REMOVED";
        const anchor = { path: file.path, line: from ? line.source : line.destination, lineType: segment.type, fileType: from ? "FROM" : "TO" };
        rows.push(el("tr", { class: segment.type },
          el("td", { class: "number code" }, segment.type === "ADDED" ? "" : line.source),
          el("td", { class: "number code" }, from ? "" : line.destination),
          el("td", { class: "add" }, view.pullRequest && el("button", { title: "Comment on this line", onclick: () => open("line", null, anchor) }, "+")),
          el("td", { class: "line code", "data-sign": segment.type === "ADDED" ? "+" : from ? "-" : " " }, line.line)));
        const here = threads.filter((item) => sameLine(item.anchor, file.path, line));
        const writing = editor && editor.kind === "line" && sameLine(editor.anchor, file.path, line);
        here.forEach((item) => shown.add(item.id));
        if (here.length > 0 || writing) {
          rows.push(el("tr", {}, el("td", { colspan: 4, class: "place" }, here.map(thread),
            writing && form("Comment", editor.text, (text) => rest("POST", "/comments", { text, anchor: editor.anchor }), true))));
        }
      }
    }
  }
  const rest_ = threads.filter((item) => item.anchor && item.anchor.path === file.path && !shown.has(item.id));
  rest_.forEach((item) => shown.add(item.id));
  const body = file.binary ? el("p", { class: "quiet", style: "padding:0 12px" }, "A binary file.")
    : el("table", { class: "diff" }, el("colgroup", {}, el("col", { style: "width:46px" }), el("col", { style: "width:46px" }), el("col", { style: "width:24px" }), el("col", {})), el("tbody", {}, rows));
  const source = file.source && file.source.toString;
  const moved = file.source && file.destination && String(source) !== file.path;
  const kind = !file.source ? "added" : !file.destination ? "deleted" : moved ? `moved from ${source}` : null;
  const node = el("section", { class: "file" },
    el("div", { class: "name" }, el("span", { class: "code" }, file.path), kind && el("span", { class: "quiet" }, kind),
      el("span", { class: "counts" }, el("span", { class: "plus" }, `+${counts.ADDED}`), " ", el("span", { class: "minus" }, `−${counts.REMOVED}`))),
    rest_.length > 0 && el("div", { style: "padding:8px 12px" }, rest_.map(thread)), body);
  return { node, shown };
}

function pullRequest() {
  const pr = view.pullRequest;
  const anchored = view.threads.filter((item) => item.anchor);
  const inDiff = new Set();
  const files = view.files.map((file) => {
    const { node, shown } = fileDiff(file, anchored);
    shown.forEach((id) => inDiff.add(id));
    return node;
  });
  const outside = view.threads.filter((item) => !inDiff.has(item.id));
  const act = (name) => () => rest("POST", `/${name}?version=${pr.version}`, {});
  const actions = el("div", { class: "actions" },
    pr.open && el("button", { class: "primary", onclick: act("merge") }, "Merge"),
    pr.open && el("button", { onclick: act("decline") }, "Decline"),
    pr.state === "DECLINED" && el("button", { onclick: act("reopen") }, "Reopen"));
  const commits = view.commits.map((c) => el("div", { class: "commit" }, el("a", { href: `${repositoryPath()}/pull-requests/${pr.id}/commits/${c.id}` }, el("code", {}, c.displayId)),
    el("div", {}, c.message.split("\n")[0], el("div", { class: "quiet" }, c.author.name, " · ", ago(c.authorTimestamp)))));
  const builds = view.builds.map((b) => el("div", { class: "commit" }, el("span", { class: `state ${b.state}` }, b.state), el("div", {}, el("a", { href: b.url, rel: "nofollow" }, b.name || b.key))));
  const people = [pr.author, ...pr.reviewers, ...pr.participants].map((p) => el("div", { class: "commit" }, avatar(p.user, true),
    el("div", {}, p.user ? p.user.displayName : "Former user", " ", el("span", { class: "quiet" }, p.role.toLowerCase(), p.status !== "UNAPPROVED" ? `, ${p.status.toLowerCase().replace("_", " ")}` : ""))));
  return [
    el("div", { class: "crumbs" }, el("a", { href: `${context}/` }, "Pull requests"), " / ", view.repository, ` / #${pr.id}`),
    el("h1", {}, pr.title),
    el("div", { class: "meta" }, el("span", { class: `state ${pr.state}` }, pr.state), avatar(pr.author.user, true), el("span", {}, pr.author.user ? pr.author.user.displayName : "Former user"),
      el("span", {}, el("span", { class: "branch code" }, pr.fromRef.displayId), " → ", el("span", { class: "branch code" }, pr.toRef.displayId)),
      el("span", { class: "quiet" }, "updated ", ago(pr.updatedDate)), actions),
    el("div", { class: "columns" },
      el("div", {},
        view.descriptionHtml && el("div", { class: "description", style: "margin-top:16px" }, html(view.descriptionHtml)),
        el("h2", {}, `Activity (${outside.length})`),
        form("Comment", draft, (text) => rest("POST", "/comments", { text }), false),
        outside.slice().reverse().map(thread),
        diffHeading(), files),
      el("aside", { style: "margin-top:16px" },
        el("section", {}, el("h2", {}, `Commits (${view.commits.length})`), commits),
        view.builds.length > 0 && el("section", {}, el("h2", {}, "Builds"), builds),
        el("section", {}, el("h2", {}, "People"), people))),
  ];
}

function commitPage() {
  const c = view.commit;
  const [subject, ...rest_] = c.message.trim().split("\n");
  const body = rest_.join("\n").trim();
  return [
    el("div", { class: "crumbs" }, el("a", { href: `${context}/` }, "Pull requests"), " / ", view.repository,
      place.id && [" / ", el("a", { href: `${repositoryPath()}/pull-requests/${place.id}` }, `#${place.id}`)], ` / ${c.displayId}`),
    el("h1", {}, subject),
    el("div", { class: "meta" }, avatar({ displayName: c.author.name }, true), el("span", {}, c.author.name), el("span", { class: "quiet" }, ago(c.authorTimestamp)),
      el("span", { class: "branch code" }, c.id),
      c.parents.map((parent) => el("span", { class: "quiet" }, "parent ", el("a", { href: `${repositoryPath()}/commits/${parent.id}` }, el("code", {}, parent.displayId))))),
    body && el("pre", { class: "description" }, body),
    diffHeading(), view.files.map((file) => fileDiff(file, []).node),
  ];
}

function diffHeading() {
  return el("h2", { id: "diff" }, `Diff (${view.files.length} ${view.files.length === 1 ? "file" : "files"})`);
}

// The repository's path, as the address bar has it.
function repositoryPath() {
  return location.pathname.match(/^.*?\/repos\/[^/]+/)[0];
}

function listing() {
  const rows = view.pullRequests.map(({ repository, pullRequest: pr }) =>
    el("a", { class: "pr", href: pr.links.self[0].href }, avatar(pr.author.user), el("div", {}, el("b", {}, pr.title),
      el("div", { class: "quiet" }, `${repository} #${pr.id} · ${pr.fromRef.displayId} → ${pr.toRef.displayId} · `, ago(pr.updatedDate))),
      el("span", { class: "grow" }), el("span", { class: `state ${pr.state}` }, pr.state)));
  return [el("h1", {}, "Pull requests"), rows.length ? el("div", { class: "list" }, rows) : el("p", { class: "quiet" }, "There is no pull request yet.")];
}

function chooseFrom(users) {
  const wanted = who.value || localStorage.getItem("who") || (users[0] && users[0].name) || "";
  if (Array.from(who.options, (option) => option.value).join("\n") !== users.map((user) => user.name).join("\n")) {
    who.replaceChildren(...users.map((user) => el("option", { value: user.name }, user.displayName)));
  }
  who.value = users.some((user) => user.name === wanted) ? wanted : (users[0] ? users[0].name : "");
}

function remember() {
  known = new Map();
  const walk = (items) => items.forEach((item) => { known.set(item.id, item.version); walk(item.replies); });
  if (view.threads) walk(view.threads);
}

function render() {
  chooseFrom(view.users);
  // What is being typed keeps its focus and selection over an update.
  const focused = document.activeElement && document.activeElement.tagName === "TEXTAREA" && main.contains(document.activeElement)
    ? { open: !!document.activeElement.closest(".open"), start: document.activeElement.selectionStart, end: document.activeElement.selectionEnd } : null;
  main.replaceChildren(...(!place ? listing() : place.commit ? commitPage() : pullRequest()).flat().filter(Boolean));
  if (focused) {
    const area = main.querySelector(focused.open ? "form.editor.open textarea" : "form.editor:not(.open) textarea");
    if (area) { area.focus({ preventScroll: true }); area.setSelectionRange(focused.start, focused.end); }
  }
  document.title = !place ? "Pull requests" : place.commit ? `${view.commit.displayId} ${view.commit.message.split("\n")[0]}` : `#${view.pullRequest.id} ${view.pullRequest.title}`;
}

who.addEventListener("change", () => { localStorage.setItem("who", who.value); render(); });

// What the address names, as Bitbucket writes it: /diff or ?commentId=7.
function showLinked() {
  const comment = new URLSearchParams(location.search).get("commentId");
  const linked = comment ? document.getElementById(`comment-${comment}`) : location.pathname.endsWith("/diff") && document.getElementById("diff");
  if (linked) linked.scrollIntoView({ block: comment ? "center" : "start" });
}

async function follow() {
  const live = document.getElementById("live");
  for (;;) {
    try {
      const query = new URLSearchParams(place || {});
      if (view) { query.set("after", view.version); query.set("wait_ms", "25000"); }
      const answer = await fetch(`${context}/sim/v1/${!place ? "pull-requests" : place.commit ? "commit-view" : "pull-request-view"}?${query}`);
      const next = await answer.json();
      if (!answer.ok) throw new Error((next.errors || next.problems || [{ message: answer.status }]).map((e) => e.message || e).join("; "));
      live.classList.remove("off");
      live.textContent = "live";
      const changed = !view || next.version !== view.version;
      if (changed) {
        const first = !view;
        if (!first) remember();
        view = next;
        render();
        if (first) showLinked();
      }
    } catch (error) {
      live.classList.add("off");
      live.textContent = "trying again";
      if (!view) main.replaceChildren(el("p", { class: "quiet" }, String(error.message || error)));
      await new Promise((resolve) => setTimeout(resolve, 1500));
    }
  }
}
follow();
