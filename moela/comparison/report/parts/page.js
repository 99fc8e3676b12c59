"use strict";
(function () {
  const data = JSON.parse(document.getElementById("data").textContent);
  data.problems.forEach((problem, index) => {
    const rows = [...document.querySelectorAll(`tr[data-problem="${index}"]`)];
    exploreFront(document.getElementById(`explore-${index}`), problem, rows);
  });
  document.documentElement.dataset.ready = "yes";
})();
