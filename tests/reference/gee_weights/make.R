# Weights in estimating equations: geepack's prior weights divide the variance of a row, so that V^-1 becomes
# W^(1/2) V^-1 W^(1/2). Its moments weigh pairs by products of weights; here geepack is given the working
# correlation of plain moments (corstr = "fixed") and the two are iterated. Negative binomial counts: with
# independence the equations are those of MASS::glm.nb, and clubSandwich's CR0 and CR3 are LZ and MD.
# Run in this folder:  Rscript make.R
suppressPackageStartupMessages({
  library(geepack)
  library(clubSandwich)
  library(MASS)
  library(jsonlite)
})
tight <- geese.control(epsilon = 1e-13, maxit = 1000)

read_set <- function(package, dataset) {
  path <- tempfile(fileext = ".csv")
  python <- Sys.getenv("PYTHON", "../../../.venv/bin/python")
  stopifnot(system2(python, c("../make_data.py", package, dataset, path)) == 0)
  read.csv(path, na.strings = "NA")
}

ohio <- read_set("geepack", "ohio")
ohio <- ohio[order(ohio$id, ohio$age), ]
ohio <- ohio[!(ohio$id %% 3 == 0 & ohio$age > -1), ] # clusters of two sizes
ohio$of_row <- 0.5 + (seq_len(nrow(ohio)) %% 5) / 3
ohio$of_child <- 0.5 + (ohio$id %% 7) / 4

summarised <- function(fit, ...) {
  list(estimate = unname(coef(fit)), std_error = unname(summary(fit)$coefficients[, "Std.err"]), ...)
}

independent <- function(weights) {
  ohio$.w <- ohio[[weights]]
  fit <- suppressWarnings(geeglm(resp ~ age + smoke, id = id, family = binomial, data = ohio, weights = .w, control = tight))
  summarised(fit, weights = weights, phi = fit$geese$gamma[[1]])
}

# Moments of exchangeable residuals: of prior weights, means of standardised residuals; of weights of selection,
# weighted means.
exchangeable <- function(weights, selection) {
  ohio$.w <- ohio[[weights]]
  rows <- table(ohio$id)
  alpha <- 0.3
  for (turn in 1:60) {
    zcor <- rep(alpha, sum(choose(rows, 2)))
    fit <- suppressWarnings(geeglm(resp ~ age + smoke, id = id, family = binomial, data = ohio, weights = .w,
      corstr = "fixed", zcor = zcor, control = tight))
    r <- sqrt(ohio$.w) * (ohio$resp - fitted(fit)) / sqrt(fitted(fit) * (1 - fitted(fit)))
    of_child <- tapply(ohio$.w, ohio$id, mean)
    phi <- sum(r^2) / (if (selection) sum(ohio$.w) else nrow(ohio))
    pairs <- (sum(tapply(r, ohio$id, sum)^2) - sum(r^2)) / 2
    alpha <- pairs / phi / sum(choose(rows, 2) * (if (selection) of_child else 1))
  }
  summarised(fit, weights = weights, selection = selection, phi = phi, alpha = alpha)
}

by_glm_nb <- function(frame, formula, cluster) {
  fit <- glm.nb(as.formula(formula), frame, control = glm.control(epsilon = 1e-14, maxit = 200))
  for (again in 1:5) fit <- update(fit, init.theta = fit$theta, start = coef(fit))
  errors <- function(kind) unname(coef_test(fit, vcovCR(fit, frame[[cluster]], kind), test = "z")$SE)
  list(term = names(coef(fit)), estimate = unname(coef(fit)), theta = fit$theta, CR0 = errors("CR0"), CR3 = errors("CR3"))
}

epil <- read_set("MASS", "epil")
ticks <- read_set("lme4", "grouseticks")
write_json(
  list(
    source = paste("make.R in this folder, run with", R.version.string),
    versions = as.list(sapply(c("geepack", "clubSandwich", "MASS"), function(p) as.character(packageVersion(p)))),
    independence = list(independent("of_row"), independent("of_child")),
    exchangeable = list(exchangeable("of_row", FALSE), exchangeable("of_child", FALSE), exchangeable("of_child", TRUE)),
    negative_binomial = list(
      epil = by_glm_nb(epil, "y ~ lbase * trt + lage + V4", "subject"),
      grouseticks = by_glm_nb(ticks, "TICKS ~ factor(YEAR) + cHEIGHT", "BROOD")
    )
  ),
  "expected.json", auto_unbox = TRUE, digits = NA, pretty = TRUE, null = "null"
)
writeLines(capture.output(sessionInfo()), "session.txt")
