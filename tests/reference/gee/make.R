# Population-averaged models by geepack, iterated to rounding, with the small-sample covariances of geesmv
# (Kauermann-Carroll, Mancl-DeRouen, Fay-Graubard, Morel-Bokossa-Neerchal) from their definitions, by dense
# matrices of each cluster at geepack's estimates; CR2 and CR3 of clubSandwich for least squares.
# Run in this folder:  Rscript make.R
suppressPackageStartupMessages({
  library(geepack)
  library(clubSandwich)
  library(gee)
  library(jsonlite)
})
tight <- geese.control(epsilon = 1e-13, maxit = 1000)

read_set <- function(package, dataset) {
  if (is.null(package)) return(read.csv(file.path("..", dataset, "data.csv"), na.strings = "NA"))
  path <- tempfile(fileext = ".csv")
  python <- Sys.getenv("PYTHON", "../../../.venv/bin/python")
  stopifnot(system2(python, c("../make_data.py", package, dataset, path)) == 0)
  read.csv(path, na.strings = "NA")
}

correlation_of <- function(structure, alpha, wave, inner) {
  m <- length(wave)
  R <- switch(structure,
    independence = diag(m),
    exchangeable = matrix(alpha, m, m),
    ar1 = alpha^abs(outer(wave, wave, "-")),
    unstructured = {
      T <- max(wave)
      full <- diag(T)
      full[lower.tri(full)] <- alpha
      full <- full + t(full) - diag(T)
      full[wave, wave]
    },
    nested = ifelse(outer(inner, inner, "=="), alpha[1], alpha[2])
  )
  diag(R) <- 1
  R
}

power_of <- function(A, power) { # of a matrix with real eigenvalues that need not be symmetric
  e <- eigen(A)
  Re(e$vectors %*% diag(e$values^power, nrow(A)) %*% solve(e$vectors))
}

small_sample <- function(fit, frame, id, wave, inner, structure, weights) {
  X <- model.matrix(fit)
  mu <- fitted(fit)
  family <- fit$family
  slope <- family$mu.eta(as.numeric(fit$linear.predictors))
  phi <- fit$geese$gamma[[1]]
  y <- fit$y
  clusters <- split(seq_along(id), id)
  parts <- lapply(clusters, function(i) {
    D <- X[i, , drop = FALSE] * slope[i]
    A <- diag(sqrt(family$variance(mu[i]) / weights[i]), length(i))
    R <- correlation_of(structure, fit$geese$alpha, wave[i], inner[i])
    W <- solve(phi * A %*% R %*% A)
    list(D = D, W = W, e = y[i] - mu[i], DWD = t(D) %*% W %*% D)
  })
  M <- solve(Reduce(`+`, lapply(parts, `[[`, "DWD")))
  p <- ncol(X)
  J <- length(parts)
  n <- nrow(X)
  meat <- function(score) Reduce(`+`, lapply(parts, function(q) tcrossprod(score(q))))
  H <- function(q) q$D %*% M %*% t(q$D) %*% q$W
  lz <- meat(function(q) t(q$D) %*% q$W %*% q$e)
  kc <- meat(function(q) t(q$D) %*% q$W %*% power_of(diag(length(q$e)) - H(q), -0.5) %*% q$e)
  md <- meat(function(q) t(q$D) %*% q$W %*% solve(diag(length(q$e)) - H(q)) %*% q$e)
  fg <- meat(function(q) {
    diag(1 / sqrt(1 - pmin(0.75, diag(q$DWD %*% M))), p) %*% t(q$D) %*% q$W %*% q$e
  })
  middle <- (n - 1) / (n - p) * J / (J - 1) * lz
  share <- min(0.5, p / (J - p))
  size <- max(1, sum(diag(M %*% middle)) / p)
  se <- function(V) unname(sqrt(diag(V)))
  list(
    LZ = se(M %*% lz %*% M), KC = se(M %*% kc %*% M), MD = se(M %*% md %*% M), FG = se(M %*% fg %*% M),
    MBN = se(M %*% middle %*% M + share * size * M), model = se(M)
  )
}

# Pairs of rows of each cluster in geepack's order: 1 if in the same inner group, and if not.
nested_pairs <- function(id, inner) {
  rows <- lapply(split(seq_along(id), id), function(i) {
    if (length(i) < 2) return(NULL)
    pairs <- combn(length(i), 2)
    same <- inner[i][pairs[1, ]] == inner[i][pairs[2, ]]
    cbind(as.numeric(same), as.numeric(!same))
  })
  do.call(rbind, unname(rows))
}

by_geepack <- function(frame, fixed, cluster, family, structures, wave = NULL, time = NULL, inner = NULL,
                       weights = NULL, success = NULL, trials = NULL, link = NULL) {
  id <- as.integer(factor(frame[[cluster]]))
  n <- nrow(frame)
  by <- function(name) if (is.null(name)) rep(0, n) else as.integer(factor(frame[[name]]))
  order <- order(id, by(inner), by(wave))
  frame <- frame[order, ]
  frame$.id <- id[order]
  frame$.wave <- if (is.null(wave)) ave(frame$.id, frame$.id, FUN = seq_along) else as.integer(factor(frame[[wave]]))
  frame$.w <- if (is.null(weights)) 1 else frame[[weights]]
  inside <- if (is.null(inner)) rep(1, nrow(frame)) else frame[[inner]]
  lapply(structures, function(structure) {
    zcor <- if (structure == "nested") nested_pairs(frame$.id, inside) else NULL
    corstr <- if (structure == "nested") "userdefined" else structure
    given <- list(as.formula(fixed), family = family, data = frame, id = quote(.id), corstr = corstr,
      weights = quote(.w), control = tight)
    if (!is.null(zcor)) given$zcor <- zcor
    if (structure %in% c("ar1", "unstructured")) given$waves <- quote(.wave)
    fit <- suppressWarnings(do.call(geeglm, given))
    criteria <- tryCatch(as.list(QIC(fit)), error = function(e) NULL)
    list(
      structure = structure, beta = as.list(coef(fit)), std_error = unname(summary(fit)$coefficients[, "Std.err"]),
      phi = fit$geese$gamma[[1]], alpha = as.list(unname(fit$geese$alpha)), cic = criteria$CIC,
      small_sample = small_sample(fit, frame, frame$.id, frame$.wave, inside, structure, frame$.w)
    )
  })
}

ohio <- read_set("geepack", "ohio")
dietox <- read_set("geepack", "dietox")
epil <- read_set("MASS", "epil")
cbpp <- read_set("lme4", "cbpp")
cbpp$share <- cbpp$incidence / cbpp$size
sitka <- read_set("geepack", "sitka89")
immun <- read_set("mlmRev", "guImmun")
immun$done <- as.numeric(immun$immun == "Y" | immun$immun == "1")
toenail <- read_set(NULL, "toenail")
respiratory <- read_set("geepack", "respiratory")
respiratory$patient <- paste(respiratory$center, respiratory$id)
every <- c("independence", "exchangeable", "ar1", "unstructured")

about <- function(package, dataset, fits, ...) list(package = package, dataset = dataset, fits = fits, ...)
sets <- list(
  ohio = about("geepack", "ohio", by_geepack(ohio, "resp ~ age * smoke", "id", binomial(), every, wave = "age"),
    formula = "resp ~ age * smoke + (1 | id)", family = "binomial", link = "logit", cluster = "id", time = "age"),
  ohio_probit = about("geepack", "ohio",
    by_geepack(ohio, "resp ~ age + smoke", "id", binomial("probit"), "exchangeable", wave = "age"),
    formula = "resp ~ age + smoke + (1 | id)", family = "binomial", link = "probit", cluster = "id", time = "age"),
  ohio_cloglog = about("geepack", "ohio",
    by_geepack(ohio, "resp ~ age + smoke", "id", binomial("cloglog"), "exchangeable", wave = "age"),
    formula = "resp ~ age + smoke + (1 | id)", family = "binomial", link = "cloglog", cluster = "id", time = "age"),
  respiratory = about("geepack", "respiratory",
    by_geepack(respiratory, "outcome ~ treat + sex + age + baseline + center", "patient", binomial(),
      every, wave = "visit"),
    formula = "outcome ~ treat + sex + age + baseline + center + (1 | patient)", family = "binomial",
    link = "logit", cluster = "patient", time = "visit"),
  dietox = about("geepack", "dietox",
    by_geepack(dietox, "Weight ~ Time + Evit + Cu", "Pig", gaussian(), every[1:3], wave = "Time"),
    formula = "Weight ~ Time + Evit + Cu + (1 | Pig)", family = "gaussian", link = "identity", cluster = "Pig",
    time = "Time"),
  dietox_gamma = about("geepack", "dietox",
    by_geepack(dietox, "Weight ~ Time", "Pig", Gamma("log"), every[1:3], wave = "Time"),
    formula = "Weight ~ Time + (1 | Pig)", family = "gamma", link = "log", cluster = "Pig", time = "Time"),
  epil = about("MASS", "epil",
    by_geepack(epil, "y ~ lbase * trt + lage + V4", "subject", poisson(), every, wave = "period"),
    formula = "y ~ lbase * trt + lage + V4 + (1 | subject)", family = "poisson", link = "log",
    cluster = "subject", time = "period"),
  cbpp = about("lme4", "cbpp",
    by_geepack(cbpp, "share ~ factor(period)", "herd", binomial(), every[1], weights = "size"),
    formula = "cbind(incidence, size - incidence) ~ period + (1 | herd)", family = "binomial", link = "logit",
    cluster = "herd"),
  toenail = about(NULL, "toenail",
    by_geepack(toenail, "outcome ~ treatment * month", "ID", binomial(), every[1:2], wave = "visit"),
    formula = "outcome ~ treatment * month + (1 | ID)", family = "binomial", link = "logit", cluster = "ID"),
  sitka = about("geepack", "sitka89",
    by_geepack(sitka, "size ~ time + treat", "tree", gaussian(), every, wave = "time"),
    formula = "size ~ time + treat + (1 | tree)", family = "gaussian", link = "identity", cluster = "tree",
    time = "wave"),
  guatemala = about("mlmRev", "guImmun",
    by_geepack(immun, "done ~ kid2p + rural + pcInd81", "comm", binomial(), c("exchangeable", "nested"),
      inner = "mom"),
    formula = "done ~ kid2p + rural + pcInd81 + (1 | comm/mom)", family = "binomial", link = "logit",
    cluster = "comm")
)

# Least squares with clusters: CR2 is KC, CR3 is MD.
pigs <- lm(Weight ~ Time + Evit + Cu, dietox)
known <- function(kind) coef_test(pigs, vcovCR(pigs, dietox$Pig, kind), test = "Satterthwaite")
cr2 <- known("CR2")
identity <- list(
  CR2 = unname(cr2$SE), CR3 = unname(known("CR3")$SE), df = unname(cr2[[grep("^df", names(cr2))[1]]])
)

# Logistic regression with clusters: CR3 is MD there too (CR2 is not KC: its square root is another one).
visits <- glm(outcome ~ treat + sex + age + baseline + center, binomial, respiratory,
  control = glm.control(epsilon = 1e-15, maxit = 100))
identity$logistic_CR3 <- unname(coef_test(visits, vcovCR(visits, respiratory$patient, "CR3"), test = "z")$SE)

# The program gee, whose phi and alpha subtract the number of coefficients, as those of SAS do.
by_gee <- function(structure, lags = 1) {
  frame <- ohio[order(ohio$id, ohio$age), ]
  corstr <- c(m_dependent = "stat_M_dep", exchangeable = "exchangeable", unstructured = "unstructured")[[structure]]
  fit <- NULL
  capture.output(suppressMessages(
    fit <- gee(resp ~ age * smoke, id, frame, family = binomial, corstr = corstr, Mv = lags, tol = 1e-10, maxiter = 200)
  ))
  list(
    structure = structure, lags = lags, beta = unname(coef(fit)), std_error = unname(sqrt(diag(fit$robust.variance))),
    phi = fit$scale, alpha = as.list(fit$working.correlation[1, -1])
  )
}
others <- list(by_gee("exchangeable"), by_gee("m_dependent", 1), by_gee("m_dependent", 2))

write_json(
  list(
    source = paste("make.R in this folder, run with", R.version.string),
    versions = as.list(sapply(c("geepack", "clubSandwich", "gee"), function(p) as.character(packageVersion(p)))),
    sets = sets, least_squares = identity, gee = others
  ),
  "expected.json", auto_unbox = TRUE, digits = NA, pretty = TRUE, null = "null"
)
writeLines(capture.output(sessionInfo()), "session.txt")
