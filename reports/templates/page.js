// Only comfort: links open what they lead to, and everything is open on paper.
(function () {
  function reveal() {
    var target = document.getElementById(location.hash.slice(1));
    for (var node = target; node; node = node.parentElement) {
      if (node.tagName === "DETAILS") { node.open = true; }
    }
    if (target) { target.scrollIntoView(); }
  }
  window.addEventListener("hashchange", reveal);
  window.addEventListener("beforeprint", function () {
    document.querySelectorAll("details.cell").forEach(function (cell) { cell.open = true; });
  });
  if (location.hash) { reveal(); }
})();
